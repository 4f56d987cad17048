//! What holds for every input.

use proptest::prelude::*;

use super::*;

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        (0u8..20).prop_map(pem),
        (0u8..20, 0usize..200).prop_map(|(n, cut)| pem(n).chars().take(cut).collect()),
        Just("-----BEGIN CERTIFICATE-----".to_owned()),
        Just("-----BEGIN ".to_owned()),
        Just("-----END CERTIFICATE-----\n".to_owned()),
        "[-A-Z =\r\n\u{feff}\0]{0,40}",
        any::<String>(),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let lines = u32::try_from(bytes.len()).expect("short") + 1;
        for reject in scan(&bytes, &Limits::default()).rejects {
            prop_assert!((1..=lines).contains(&reject.line));
        }
    }

    #[test]
    fn every_begin_marker_is_accounted_for(pieces in prop::collection::vec(piece(), 0..12)) {
        let text = pieces.concat();
        let begins = text.matches("-----BEGIN ").count();
        let found = scan(text.as_bytes(), &Limits::default());
        let of_begins = found.rejects.iter().filter(|reject| {
            !matches!(reject.reason, Reason::StrayEnd | Reason::NoCertificate)
        });
        // Text before which a byte tells UTF-16 is another text.
        prop_assume!(!found.notes.contains(&Note::Utf16));
        if begins > 0 {
            prop_assert_eq!(found.blocks.len() + of_begins.count(), begins);
        }
    }

    #[test]
    fn conversions_lose_nothing(numbers in prop::collection::vec(0u8..50, 1..8)) {
        let text: String = numbers.iter().map(|n| pem(*n)).collect();
        let glued = text.replace("-----\n-----", "----------");
        for bytes in [
            text.replace('\n', "\r\n").into_bytes(),
            format!("\u{feff}{text}").into_bytes(),
            utf16(&text, u16::to_le_bytes),
            utf16(&format!("\u{feff}{text}"), u16::to_be_bytes),
            glued.into_bytes(),
            text.trim_end().as_bytes().to_vec(),
            numbers.iter().flat_map(|n| der(*n)).collect(),
        ] {
            prop_assert_eq!(summary(&bytes), (numbers.clone(), Vec::new()));
        }
    }

    #[test]
    fn every_certificate_can_be_read_again(ders in prop::collection::vec(certificate(), 1..6), width in 1usize..120) {
        let lines = |der: &Vec<u8>| {
            STANDARD.encode(der).as_bytes().chunks(width).map(|line| [line, b"\n"].concat()).collect::<Vec<_>>().concat()
        };
        let text: Vec<u8> = ders.iter().flat_map(|der| {
            [b"-----BEGIN CERTIFICATE-----\n", &lines(der)[..], b"-----END CERTIFICATE-----\n"].concat()
        }).collect();
        let found = scan(&text, &Limits::default());
        prop_assert_eq!(found.blocks.into_iter().map(|block| block.der).collect::<Vec<_>>(), ders);
        prop_assert_eq!(found.rejects, []);
    }

    #[test]
    fn a_damaged_byte_costs_no_other_block(at in 0usize..600, byte in any::<u8>()) {
        let mut text = [pem(1), pem(2), pem(3)].concat().into_bytes();
        let at = at % text.len();
        let hit = at / pem(1).len();
        text[at] = byte;
        let found = scan(&text, &Limits::default());
        for (index, number) in [1, 2, 3].into_iter().enumerate() {
            let kept = found.blocks.iter().any(|block| block.der == der(number));
            prop_assert!(kept || index == hit, "{} was lost", number);
        }
    }
}

/// Any SEQUENCE of a certificate's shape and size.
fn certificate() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 256..2000).prop_map(|content| {
        let inner = u16::try_from(content.len()).expect("short");
        let outer = (inner + 4).to_be_bytes();
        let inner = inner.to_be_bytes();
        [&[0x30, 0x82, outer[0], outer[1], 0x30, 0x82, inner[0], inner[1]], &content[..]].concat()
    })
}

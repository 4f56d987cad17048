use super::*;
use proptest::prelude::*;

const FIELD: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<Policy guid="{1E2F3A4B-0000-1111-2222-333344445555}" version="42">
  <Settings>
    <CurlSSL SSLNSPublicHttpsCertFingerprint="" SSLVerifyPeer="yes" SSLVerifyHost="yes" CAInfo="/mycert.pem" CAPath=""/>
  </Settings>
</Policy>
"#;

fn read(bytes: impl AsRef<[u8]>) -> Result<Policy, Error> {
    parse(bytes.as_ref(), &Limits::default())
}

fn ca_infos(policy: &Policy) -> Vec<(&str, u32)> {
    policy
        .curl_ssl
        .iter()
        .flat_map(|found| &found.ca_info)
        .map(|placed| (placed.value.as_str(), placed.line))
        .collect()
}

fn placed<T>(value: T, line: u32) -> Option<Placed<T>> {
    Some(Placed { value, line })
}

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn reads_the_element_of_the_field() {
    let expected = Policy {
        guid: Some("1e2f3a4b-0000-1111-2222-333344445555".into()),
        version: Some(42),
        distrusted: Vec::new(),
        curl_ssl: vec![CurlSsl {
            line: 4,
            ca_info: placed("/mycert.pem".into(), 4),
            ca_path: placed(String::new(), 4),
            verify_peer: placed(true, 4),
            verify_host: placed(true, 4),
            fingerprint: placed(String::new(), 4),
            minimum_tls: None,
        }],
        issues: vec![],
    };
    assert_eq!(read(FIELD), Ok(expected));
}

#[test]
fn a_distrust_is_taken_as_written_and_by_its_exact_name() {
    let policy = read(
        "<p>\n<DistrustCertificate SHA256='AB:cd'/>\n<a><DistrustCertificate\nSHA256=' ef '/></a>\n\
         <distrustcertificate SHA256='00'/><DistrustCertificate sha256='11'/></p>",
    )
    .unwrap();
    let found: Vec<_> = policy.distrusted.iter().map(|placed| (placed.line, placed.value.as_str())).collect();
    assert_eq!(found, [(2, "AB:cd"), (4, " ef ")]);
    assert_eq!(policy.issues.iter().map(|issue| issue.line).collect::<Vec<_>>(), [5, 5]);
    assert!(matches!(
        read("<p><DistrustCertificate SHA256='a&#10;b'/></p>"),
        Err(Error::ControlCharacter { line: 1 })
    ));
}

#[test]
fn finds_curl_ssl_wherever_it_stands() {
    let cases: &[(&str, &[(&str, u32)])] = &[
        (r#"<CurlSSL CAInfo="/a"/>"#, &[("/a", 1)]),
        (r#"<CurlSSL CAInfo="/a"></CurlSSL>"#, &[("/a", 1)]),
        (r#"<a><b><c><CurlSSL CAInfo="/a"/></c></b></a>"#, &[("/a", 1)]),
        (r#"<x:a xmlns:x="urn:x"><x:CurlSSL CAInfo="/a"/></x:a>"#, &[("/a", 1)]),
        (r#"<a xmlns="urn:x"><CurlSSL CAInfo="/a"/></a>"#, &[("/a", 1)]),
        (
            "<a>\n<CurlSSL CAInfo='/a'/>\n<CurlSSL CAInfo='/b'><CurlSSL CAInfo='/c'/></CurlSSL></a>",
            &[("/a", 2), ("/b", 3), ("/c", 3)],
        ),
        ("<a><!-- <CurlSSL CAInfo='/no'/> --><![CDATA[<CurlSSL CAInfo='/no'/>]]><?p <CurlSSL/> ?></a>", &[]),
        ("<a><CurlSSLs CAInfo='/no'/><NotCurlSSL CAInfo='/no'/></a>", &[]),
        // Every attribute has its own line, and every line end counts once.
        ("<a>\n<CurlSSL\n CAPath='/d'\n\n CAInfo\n=\n'/a'/></a>", &[("/a", 5)]),
        ("<a>\r\n<CurlSSL\r\n CAInfo='/a'/></a>", &[("/a", 3)]),
        ("<a>\r<CurlSSL\r CAInfo='/a'/></a>", &[("/a", 3)]),
        ("<a>\n\r<CurlSSL\r\n CAInfo='/a'/></a>", &[("/a", 4)]),
        // Values.
        ("<CurlSSL CAInfo='/a &amp; &#x62;&#99;&lt;&gt;&quot;&apos;'/>", &[("/a & bc<>\"'", 1)]),
        ("<CurlSSL CAInfo=' /a\n\tb '/>", &[(" /a  b ", 1)]),
        ("<CurlSSL CAInfo='/grüße/日本'/>", &[("/grüße/日本", 1)]),
        ("<CurlSSL CAInfo='/a>b'/>", &[("/a>b", 1)]),
        ("<CurlSSL/>", &[]),
        ("\n\n  <?xml version='1.0'?>\n<CurlSSL CAInfo='/a'/>\n\n", &[("/a", 4)]),
        ("<a>&lt;&#10;&amp;text</a>", &[]),
    ];
    for (text, expected) in cases {
        let policy = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(ca_infos(&policy), *expected, "{text}");
        assert_eq!(policy.issues, [], "{text}");
    }
    assert_eq!(read("<a>\n<CurlSSL\nCAInfo='/a'/></a>").unwrap().curl_ssl[0].line, 2);
}

#[test]
fn switches_are_off_only_when_they_say_so() {
    let cases = [
        ("yes", true, false),
        ("YES", true, false),
        ("true", true, false),
        ("1", true, false),
        ("2", true, false),
        (" yes ", true, false),
        ("no", false, false),
        ("No", false, false),
        ("FALSE", false, false),
        ("0", false, false),
        ("", true, true),
        ("off", true, true),
        ("nope", true, true),
        ("00", true, true),
        ("ｎｏ", true, true),
    ];
    for (value, on, issue) in cases {
        for name in ["SSLVerifyPeer", "SSLVerifyHost"] {
            let policy = read(format!("<a>\n<CurlSSL\n{name}='{value}'/></a>")).unwrap();
            let found = &policy.curl_ssl[0];
            let read = if name == "SSLVerifyPeer" { &found.verify_peer } else { &found.verify_host };
            assert_eq!(*read, placed(on, 3), "{name}={value}");
            let issues: Vec<_> =
                policy.issues.iter().map(|issue| (issue.line, issue.message.as_str())).collect();
            let message = format!("{name} is neither yes nor no: verification stays on");
            assert_eq!(issues, if issue { vec![(3, message.as_str())] } else { vec![] }, "{name}={value}");
        }
    }
}

#[test]
fn names_in_another_case_bring_anchors_but_never_switch_off() {
    let policy = read("<a>\n<CurlSSL cainfo='/a' sslverifypeer='no'/></a>").unwrap();
    assert_eq!(ca_infos(&policy), [("/a", 2)]);
    assert_eq!(policy.curl_ssl[0].verify_peer, None);
    let messages: Vec<_> = policy.issues.iter().map(|issue| issue.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "CAInfo is written in another case: it is taken all the same",
            "SSLVerifyPeer is written in another case: it is not taken",
        ]
    );

    let policy = read("<curlssl CAInfo='/a' SSLVerifyHost='no'/>").unwrap();
    assert_eq!(ca_infos(&policy), [("/a", 1)]);
    assert_eq!((&policy.curl_ssl[0].verify_host, policy.issues.len()), (&None, 2));

    // The rightly written one counts, in either order.
    for text in ["<CurlSSL cainfo='/no' CAInfo='/a'/>", "<CurlSSL CAInfo='/a' cainfo='/no'/>"] {
        let policy = read(text).unwrap();
        assert_eq!((ca_infos(&policy), policy.issues.len()), (vec![("/a", 1)], 1), "{text}");
    }
    // An attribute of another namespace is another attribute.
    let policy = read("<CurlSSL xmlns:x='u' xmlns:CAInfo='v' x:CAInfo='/no' x:SSLVerifyPeer='no'/>").unwrap();
    assert_eq!((ca_infos(&policy), &policy.curl_ssl[0].verify_peer, policy.issues.len()), (vec![], &None, 2));
}

#[test]
fn root_names_guid_and_version() {
    let plain = Some("1e2f3a4b-0000-1111-2222-333344445555");
    let cases = [
        ("guid='1E2F3A4B-0000-1111-2222-333344445555'", plain, None, 0),
        ("Guid=' {1e2f3a4b-0000-1111-2222-333344445555} '", plain, None, 0),
        ("ID='1e2f3a4b000011112222333344445555'", plain, None, 0),
        ("id='7' GUID='{1e2f3a4b-0000-1111-2222-333344445555}'", plain, None, 0),
        ("id='7'", None, None, 1),
        ("guid='{1e2f3a4b-0000-1111-2222-333344445555'", None, None, 1),
        ("guid='1e2f3a4-b0000-1111-2222-333344445555'", None, None, 1),
        ("guid='1e2f3a4b-0000-1111-2222-33334444555é'", None, None, 1),
        ("guid=''", None, None, 1),
        ("", None, None, 0),
        ("version='0'", None, Some(0), 0),
        ("Version=' 18446744073709551615 '", None, Some(u64::MAX), 0),
        ("version='18446744073709551616'", None, None, 1),
        ("version='1.2'", None, None, 1),
        ("version='-1'", None, None, 1),
        ("version=''", None, None, 1),
    ];
    for (attributes, guid, version, issues) in cases {
        let policy = read(format!("<Policy {attributes}><x guid='no' version='9'/></Policy>")).unwrap();
        let found = (policy.guid.as_deref(), policy.version, policy.issues.len());
        assert_eq!(found, (guid, version, issues), "{attributes}");
    }
}

#[test]
fn bytes_decide_the_encoding() {
    let expected = read(FIELD).unwrap();
    for declared in ["utf-8", "UTF-16", "utf-16le", "unicode-1-1"] {
        let text = FIELD.replace("utf-8", declared);
        for mark in ["", "\u{feff}"] {
            for order in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(
                    read(utf16(&format!("{mark}{text}"), order)),
                    Ok(expected.clone()),
                    "{declared} {mark:?}"
                );
            }
        }
        assert_eq!(read(format!("\u{feff}{text}")), Ok(expected.clone()), "{declared} in UTF-8 with a mark");
        if declared != "unicode-1-1" {
            assert_eq!(read(text), Ok(expected.clone()), "{declared} in UTF-8");
        }
    }
    assert_eq!(read(utf16("\r\n<CurlSSL/>", u16::to_le_bytes)).map(|policy| policy.curl_ssl[0].line), Ok(2));
}

#[test]
fn western_code_pages_are_read_where_declared() {
    let file = |encoding: &str, value: &[u8]| {
        let mut bytes =
            format!("<?xml version='1.0' encoding='{encoding}'?>\n<CurlSSL CAInfo='").into_bytes();
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"'/>");
        bytes
    };
    for (encoding, value, expected) in [
        ("windows-1252", &b"/gr\xfc\xdfe\x80"[..], "/grüße€"),
        ("ISO-8859-1", b"/gr\xfc\xdfe", "/grüße"),
        ("iso-8859-15", b"/plain", "/plain"),
        ("Windows-1250", b"/plain", "/plain"),
        ("us-ascii", "/grüße".as_bytes(), "/grüße"),
    ] {
        let policy = read(file(encoding, value)).unwrap_or_else(|error| panic!("{encoding}: {error}"));
        assert_eq!(ca_infos(&policy), [(expected, 2)], "{encoding}");
    }
    for (encoding, value, code, line) in [
        ("iso-8859-15", &b"/\xa4"[..], "unsupported-encoding", 1),
        ("utf-7", b"/plain", "unsupported-encoding", 1),
        ("ebcdic-cp-us", b"/plain", "unsupported-encoding", 1),
        ("windows-1252", b"/\x81", "bad-encoding", 2),
        ("utf-8", b"/\xfc\xdf", "bad-encoding", 2),
    ] {
        let error = read(file(encoding, value)).unwrap_err();
        assert_eq!((error.code(), error.line()), (code, Some(line)), "{encoding}");
    }
}

#[test]
fn refuses_what_is_no_policy() {
    let deep = "<a>".repeat(65) + &"</a>".repeat(65);
    let attributes: String = (0..257).map(|n| format!("\na{n}=''")).collect();
    let wide = format!("<a{attributes}/>");
    let many = format!("<a>\n{}</a>", "<CurlSSL/>".repeat(65));
    let lots = format!("<a>{}</a>", "<b/>".repeat(1 << 16));
    let cases: &[(&[u8], &str, Option<u32>)] = &[
        // Not XML at all.
        (b"", "empty", None),
        (b" \r\n\t", "empty", None),
        (b"\xef\xbb\xbf", "empty", None),
        (b"\xff\xfe", "empty", None),
        (b"\n\n{\"error\": 404}", "json", Some(3)),
        (b"[]", "json", Some(1)),
        (b"<!DOCTYPE html><html><body><br></body></html>", "html", Some(1)),
        (b"\n<!doctype HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\">", "html", Some(2)),
        (b"<HTML><body><p>not found<p></HTML>", "html", Some(1)),
        (b"<!-- proxy -->\n<html lang=en>", "html", Some(2)),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n", "pem", Some(1)),
        (b"root:x:0:0:root", "not-xml", Some(1)),
        (b"\x30\x82\x01\x0a\x02", "not-xml", Some(1)),
        (b"\0\0\0\0\0\0\0\0", "zeros", Some(1)),
        (b"\xff\xfe\x61\x00", "not-xml", Some(1)),
        // Encodings.
        (b"\xff\xfe\0\0<\0\0\0", "unsupported-encoding", Some(1)),
        (b"<a>\n\xff</a>", "bad-encoding", Some(2)),
        (b"<a>\n\xc3", "truncated", Some(2)),
        (b"<\0a\0/\0>", "truncated", Some(1)),
        (b"<\0\n\0\x00\xd8a\0", "bad-encoding", Some(2)),
        // DOCTYPE, whatever is in it.
        (b"<?xml version='1.0'?>\n<!DOCTYPE a>\n<a/>", "doctype", Some(2)),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>\n<a>&b;</a>", "doctype", Some(1)),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'>\n<a/>", "doctype", Some(1)),
        (
            b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>\n<CurlSSL CAInfo='&b;'/>",
            "doctype",
            Some(1),
        ),
        (b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://x/'> %b;]>\n<a/>", "doctype", Some(1)),
        (b"<!DOCTYPE a [\n<!ENTITY b 'c'", "doctype", Some(1)),
        (b"<!DOCTYPE>\n<a/>", "doctype", Some(1)),
        (b"<a>\n<!DOCTYPE html></a>", "doctype", Some(2)),
        // References.
        (b"<a>\n<CurlSSL\nCAInfo='&b;'/></a>", "undefined-entity", Some(3)),
        (b"<a>\n&nbsp;</a>", "undefined-entity", Some(2)),
        (b"<a b='\n&AMP;'/>", "undefined-entity", Some(1)),
        (b"<a>\n<b c='&#0;'/></a>", "control-character", Some(2)),
        (b"<a>\n&#x0;</a>", "control-character", Some(2)),
        (b"<a>\n&#x1F;</a>", "control-character", Some(2)),
        (b"<a b='&#xfffe;'/>", "control-character", Some(1)),
        (b"<a b='&#xd800;'/>", "not-well-formed", Some(1)),
        (b"<a b='&#x110000;'/>", "not-well-formed", Some(1)),
        (b"<a b='&#99999999999;'/>", "not-well-formed", Some(1)),
        (b"<a b='&#;'/>", "not-well-formed", Some(1)),
        (b"<a b='c & d'/>", "not-well-formed", Some(1)),
        (b"<a>\nc & d</a>", "not-well-formed", Some(2)),
        // Control characters: legal ones too where a value is a path.
        (b"<a>\n<b>\x01</b></a>", "control-character", Some(2)),
        (b"<a>\n\0</a>", "control-character", Some(2)),
        (b"<a>\n<CurlSSL\nCAInfo='/a&#10;b'/></a>", "control-character", Some(3)),
        (b"<CurlSSL CAPath='/a&#x7f;'/>", "control-character", Some(1)),
        (b"<CurlSSL CAPath='/a\xc2\x85'/>", "control-character", Some(1)),
        (b"<CurlSSL CAPath='/a\0.pem'/>", "control-character", Some(1)),
        // Grammar.
        (b"<CurlSSL\nCAInfo='/a'\nCAInfo='/b'/>", "duplicate-attribute", Some(3)),
        (b"<a>\n<b c='' c=''/></a>", "duplicate-attribute", Some(2)),
        (b"<a>\n</b>", "not-well-formed", Some(2)),
        (b"<a>\n</a></a>", "not-well-formed", Some(2)),
        (b"<a/>\n<b/>", "not-well-formed", Some(2)),
        (b"<a/>\ntext", "not-well-formed", Some(2)),
        (b"<a/>\n&lt;", "not-well-formed", Some(2)),
        (b"<a/>\n<![CDATA[]]>", "not-well-formed", Some(2)),
        (b"<!-- -->\n<?xml version='1.0'?><a/>", "not-well-formed", Some(2)),
        (b"<a>\n<!-- -- --></a>", "not-well-formed", Some(2)),
        (b"<a>\n<!oops></a>", "not-well-formed", Some(2)),
        (b"<a\nb=c/>", "not-well-formed", Some(2)),
        (b"<a\nb/>", "not-well-formed", Some(2)),
        (b"<a\nb=/>", "not-well-formed", Some(2)),
        (b"<a 'b'='c'/>", "not-well-formed", Some(1)),
        (b"< a/>", "not-well-formed", Some(1)),
        (b"<1a/>", "not-well-formed", Some(1)),
        (b"<>", "not-well-formed", Some(1)),
        (b"<a>\n<CurlSSL\nCAInfo='/a/>\n<b c=''/></a>", "not-well-formed", Some(3)),
        (b"<a>\n<CurlSSL\nCAInfo='/a/>\n<b c=\"'\"/></a>", "not-well-formed", Some(3)),
        (b"<a>\n<b c='/a'>\n<CurlSSL CAInfo=/a'/></a>", "not-well-formed", Some(3)),
        // Cut off.
        (b"<", "truncated", Some(1)),
        (b"<?xml version='1.0'?>\n", "truncated", Some(1)),
        (b"<?xml version='1.0'", "truncated", Some(1)),
        (b"<a>\n<b>\n", "truncated", Some(2)),
        (b"<a>\n<CurlSSL CAInfo='/a", "truncated", Some(2)),
        (b"<a>\n<CurlSSL", "truncated", Some(2)),
        (b"<a>\n<!-- ", "truncated", Some(2)),
        (b"<a>\n<![CDATA[ ", "truncated", Some(2)),
        (b"<a>\n</a", "truncated", Some(2)),
        // Limits.
        (deep.as_bytes(), "too-many", Some(1)),
        (wide.as_bytes(), "too-many", Some(258)),
        (many.as_bytes(), "too-many", Some(2)),
        (lots.as_bytes(), "too-many", Some(1)),
    ];
    for (bytes, code, line) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]);
        match read(bytes) {
            Err(error) => assert_eq!((error.code(), error.line()), (*code, *line), "{shown}: {error}"),
            Ok(policy) => panic!("{shown}: read as {policy:?}"),
        }
    }
}

#[test]
fn limits_are_inclusive() {
    let limits = Limits { bytes: 7, depth: 2, elements: 3, attributes: 1, curl_ssl: 1 };
    let code = |text: &str, limits: &Limits| parse(text.as_bytes(), limits).map_err(|error| error.code());
    assert!(code("<a b=''/>", &Limits { bytes: 9, ..limits }).is_ok());
    assert_eq!(code("<a b=''/>", &Limits { bytes: 8, ..limits }), Err("too-large"));
    let limits = Limits { bytes: 100, ..limits };
    for (text, expected) in [
        ("<a><b></b><b c=''/></a>", Ok(())),
        ("<a><b><c></c></b></a>", Err("too-many")),
        ("<a><b/><b/><b/></a>", Err("too-many")),
        ("<a b='' c=''/>", Err("too-many")),
        ("<CurlSSL><CurlSSL/></CurlSSL>", Err("too-many")),
    ] {
        assert_eq!(code(text, &limits).map(drop), expected, "{text}");
    }
}

#[test]
fn messages_show_nothing_of_the_file() {
    for text in [
        "SECRET",
        "<SECRET>",
        "<SECRET></OTHER>",
        "<a>&SECRET;</a>",
        "<a b='&SECRET;'/>",
        "<a SECRET/>",
        "<a b=SECRET/>",
        "<a SECRET='1' SECRET='2'/>",
        "<?xml version='1.0' encoding='SECRET'?><a/>",
        "<!DOCTYPE SECRET><a/>",
        "<a/>SECRET",
    ] {
        let error = read(text).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SECRET"), "{text}: {error}");
    }
    let policy = read(
        "<a guid='SECRET' version='SECRET'><CurlSSL SSLVerifyPeer='SECRET' SECRET:CAInfo='SECRET'/></a>",
    );
    let issues = policy.unwrap().issues;
    assert_eq!(issues.len(), 4);
    assert!(issues.iter().all(|issue| !issue.message.contains("SECRET")), "{issues:?}");
}

#[test]
fn the_largest_files_take_no_time_to_speak_of() {
    // Each would be quadratic in a naive reader: lines, attribute names, references, unclosed tags.
    let size = Limits::default().bytes;
    let fill = |unit: &str, room: usize| unit.repeat((size - room) / unit.len());
    for text in [
        format!("<a>{}</a>", fill("\n", 10)),
        format!("<a>{}</a>", fill("&amp;", 10)),
        format!("<a b='{}'/>", fill("&#65;", 20)),
        format!("<a>{}</a>", fill("<!---->", 10)),
        fill("<", 0),
        fill("<a ", 0),
        format!("<a>{}</a>", fill(&format!("<b{}/>\n", fill_attributes(250)), 10)),
    ] {
        let started = std::time::Instant::now();
        let _unless_it_panics = read(&text);
        // Milliseconds when optimised; the bound is for a slow machine without optimisation.
        assert!(started.elapsed().as_secs() < 5, "{:?} for {}…", started.elapsed(), &text[..20]);
    }
}

fn fill_attributes(count: usize) -> String {
    (0..count).map(|n| format!(" a{n}=''")).collect()
}

/// Values as a policy can have them, written as XML attributes.
fn value() -> impl Strategy<Value = String> {
    "[ -~äß€😀]{0,20}"
}

fn escaped(value: &str) -> String {
    value.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

prop_compose! {
    fn policy_text()(
        paths in prop::collection::vec((value(), value(), value()), 0..4),
        version in any::<u64>(),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        nesting in 0..5usize,
    ) -> (String, Vec<(String, u32)>) {
        let mut text = format!("<?xml version=\"1.0\" encoding=\"utf-16\"?>{line_end}<p version=\"{version}\">{line_end}");
        let mut line = 3;
        let mut expected = Vec::new();
        text.push_str(&"<s>".repeat(nesting));
        for (ca_info, ca_path, switch) in &paths {
            let (info, path, switch) = (escaped(ca_info), escaped(ca_path), escaped(switch));
            text.push_str(&format!("<n:CurlSSL{line_end}CAPath=\"{path}\" SSLVerifyPeer=\"{switch}\"{line_end} CAInfo=\"{info}\"/>{line_end}"));
            expected.push((ca_info.clone(), line + 2));
            line += 3;
        }
        text.push_str(&"</s>".repeat(nesting));
        text.push_str("</p>");
        (text, expected)
    }
}

proptest! {
    #[test]
    fn values_and_lines_survive_the_writing((text, expected) in policy_text()) {
        let policy = read(&text).unwrap();
        let found: Vec<_> = ca_infos(&policy).into_iter().map(|(value, line)| (value.to_owned(), line)).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn all_encodings_give_the_same_policy((text, _) in policy_text()) {
        let plain = read(&text);
        for mark in ["", "\u{feff}"] {
            let marked = format!("{mark}{text}");
            prop_assert_eq!(&read(utf16(&marked, u16::to_le_bytes)), &plain);
            prop_assert_eq!(&read(utf16(&marked, u16::to_be_bytes)), &plain);
            prop_assert_eq!(&read(marked), &plain);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _either = read(bytes);
    }

    #[test]
    fn arbitrary_markup_never_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "<", ">", "/", "?", "!", "--", "[", "]", "CDATA[", "DOCTYPE", "xml", "a", ":", "=", "'", "\"", "&", "#", "x", ";", "1",
        " ", "\n", "\r", "CurlSSL", "CAInfo", "SSLVerifyPeer", "no", "é", "\u{feff}", "\0",
    ]), 0..40)) {
        let _either = read(parts.concat());
    }

    /// A damaged policy is refused or read: never a panic, never a line beyond the file.
    #[test]
    fn damage_never_panics(
        (text, _) in policy_text(),
        wide in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let mut bytes = if wide { utf16(&text, u16::to_le_bytes) } else { text.into_bytes() };
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let lines = u32::try_from(bytes.len()).unwrap() + 1;
        match read(&bytes) {
            Err(error) => prop_assert!(error.line().is_none_or(|line| (1..=lines).contains(&line))),
            Ok(policy) => for found in policy.curl_ssl {
                for placed in [found.verify_peer, found.verify_host].into_iter().flatten() {
                    prop_assert!((1..=lines).contains(&placed.line));
                }
            },
        }
    }

    /// Whatever is cut off the end, the rest is no policy: a file that is being written is never taken for a whole one.
    #[test]
    fn a_beginning_is_never_a_whole((text, _) in policy_text(), cut in any::<prop::sample::Index>()) {
        let bytes = text.as_bytes();
        let error = read(&bytes[..cut.index(bytes.len())]).unwrap_err();
        prop_assert!(matches!(error.code(), "truncated" | "empty"), "{}", error);
    }
}

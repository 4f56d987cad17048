//! How long a file of certificates takes to read: the sizes of a real store, and of two that nobody has.
//!
//! `cargo bench -p trust-formats --bench scan`

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SerialNumber};
use trust_formats::certificates::{Limits, scan};

/// Certificates differ in their serial number alone; signing ten thousand would take longer than all else.
const MARK: [u8; 16] = [0x5a; 16];

fn read_stores(criterion: &mut Criterion) {
    let template = template();
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("scan");
    for count in [148u32, 1_000, 10_000] {
        let store: String = (0..count).map(|number| pem(&numbered(&template, number))).collect();
        for (form, text) in [("lf", store.clone()), ("crlf", store.replace('\n', "\r\n"))] {
            let found = scan(text.as_bytes(), &limits);
            assert_eq!((found.blocks.len(), found.rejects.len()), (count as usize, 0));
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_with_input(BenchmarkId::new(form, count), &text, |bencher, text| {
                bencher.iter(|| scan(text.as_bytes(), &limits));
            });
        }
    }
    group.finish();
}

/// A root whose PEM has the 700 bytes that are usual with elliptic curves.
fn template() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from_slice(&MARK));
    params.distinguished_name.push(DnType::OrganizationName, "An Organisation with a Name of Usual Length");
    params.distinguished_name.push(DnType::CommonName, "A Root Certificate of that Organisation");
    let key = KeyPair::generate().expect("randomness");
    params.self_signed(&key).expect("parameters that rcgen knows").der().to_vec()
}

fn numbered(template: &[u8], number: u32) -> Vec<u8> {
    let mut der = template.to_vec();
    let at = der.windows(MARK.len()).position(|window| window == MARK).expect("the serial number");
    der[at + 4..at + 8].copy_from_slice(&number.to_be_bytes());
    der
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

criterion_group!(benches, read_stores);
criterion_main!(benches);

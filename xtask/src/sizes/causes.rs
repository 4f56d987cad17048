//! Which part of a program a symbol belongs to.

/// The cause of a symbol, by its demangled name: that of the crate whose type or function it is.
pub(super) fn of(name: &str) -> &'static str {
    let Some(krate) = krate(name) else { return ASSEMBLY };
    let is = |known: &&str| match known.strip_suffix('*') {
        Some(begin) => krate.starts_with(begin),
        None => krate == *known,
    };
    CAUSES.iter().find(|(crates, _)| crates.iter().any(is)).map_or(OTHERS, |(_, cause)| cause)
}

/// The crate in `<a::B as c::D>::e`, `core::ptr::drop_in_place<a::B>`, `a::b::{closure}`: the first that is not the standard
/// library's, for what is made for a type of somebody's is theirs.
fn krate(name: &str) -> Option<&str> {
    let words = || {
        name.match_indices("::").filter_map(|(at, _)| {
            let before = name.get(..at)?;
            let begin = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
            // A name behind `::` is no crate.
            (!before.get(..begin)?.ends_with("::")).then(|| before.get(begin..)).flatten()
        })
    };
    let words = || words().filter(|word| !word.is_empty());
    words().find(|word| !STANDARD.contains(word)).or_else(|| words().next())
}

/// Symbols without a path are C's and the assembler's.
const ASSEMBLY: &str = "AWS-LC: cryptography, in C and assembly";
const OTHERS: &str = "other crates";

const STANDARD: &[&str] = &["core", "alloc", "std"];

/// Crates, or how their names begin, and what they are there for.
const CAUSES: &[(&[&str], &str)] = &[
    (&["agent*", "trust_*"], "our own code"),
    (
        &[
            "core",
            "alloc",
            "std",
            "std_detect",
            "compiler_builtins",
            "gimli",
            "addr2line",
            "rustc_demangle",
            "object",
            "miniz_oxide",
            "panic_abort",
            "hashbrown",
        ],
        "Rust's standard library",
    ),
    (&["rustls*", "webpki", "aws_lc*", "tokio_rustls"], "rustls and webpki: TLS and judging chains"),
    (
        &["tokio", "mio", "bytes", "futures*", "pin_project*", "signal_hook*"],
        "tokio: many connections at once",
    ),
    (&["hyper*", "http*", "httparse", "atomic_waker", "want", "try_lock"], "hyper: HTTP"),
    (
        &["clap*", "anstyle*", "anstream", "strsim", "roff", "colorchoice", "utf8parse"],
        "clap: command line, completions, pages",
    ),
    (&["serde*", "itoa", "ryu", "zmij", "toml*", "winnow"], "serde, JSON, TOML"),
    (&["zlink*"], "zlink: the control socket"),
    (
        &["x509_parser", "asn1_rs", "der_parser", "nom", "oid_registry", "num_*", "rusticata*"],
        "x509-parser: facts of certificates",
    ),
    (&["jiff*", "time*", "deranged"], "jiff: dates"),
    (&["quick_xml", "encoding_rs"], "quick-xml: policies"),
    (&["tracing*", "sharded_slab", "thread_local", "matchers", "regex*", "nu_ansi*", "log"], "tracing: logs"),
    (&["notify*", "inotify*", "walkdir"], "notify: watching"),
    (&["rcgen", "yasna", "pem"], "rcgen: certificates for the playground"),
    (
        &[
            "url",
            "idna*",
            "icu*",
            "utf8_iter",
            "percent_encoding",
            "form_urlencoded",
            "zerovec",
            "smallvec",
            "potential_utf",
        ],
        "url: addresses, names of other scripts among them",
    ),
    (
        &[
            "sha1",
            "sha2",
            "digest",
            "base64",
            "memchr",
            "flate2",
            "simd_adler32",
            "crc32fast",
            "block_buffer",
        ],
        "hashes, base64, compression",
    ),
    (
        &["rustix", "linux_raw_sys", "landlock", "libc", "nix", "tempfile", "sd_notify"],
        "the operating system",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_its_types_crate() {
        for (name, expected) in [
            ("rustls::client::hs::start", Some("rustls")),
            ("<rustls::Error as core::fmt::Display>::fmt", Some("rustls")),
            ("core::ptr::drop_in_place<alloc::vec::Vec<trust_core::Anchor>>", Some("trust_core")),
            ("<core::iter::Map<I,F> as core::iter::Iterator>::next", Some("core")),
            ("<&mut clap_builder::Arg as core::fmt::Debug>::fmt", Some("clap_builder")),
            ("<alloc::vec::Vec<T> as core::fmt::Debug>::fmt", Some("alloc")),
            ("aws_lc_0_42_0_EVP_DigestInit", None),
            ("ecp_nistz256_mul_mont", None),
        ] {
            assert_eq!(krate(name), expected, "{name}");
        }
        assert_eq!(of("trust_core::merge"), of("agentctl::main"));
        assert_eq!(of("some_crate::x"), OTHERS);
        assert_eq!(of("sha256_block"), ASSEMBLY);
    }
}

//! `cargo xtask sizes`: what the programs and packages weigh, and what causes it.
//!
//! The programs are linked once more as they are handed out, but with their symbols; each symbol's size is its crate's. What
//! has no symbol (texts, tables, relocations) is known by its section alone.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, cargo, output, say};
use crate::{setup, workspace};

mod causes;
mod packages;

const PROGRAMS: [&str; 2] = ["agentd", "agentctl"];

/// Where the tables are, between two lines.
const DOCUMENT: &str = "docs/PERFORMANCE.md";
const BEGIN: &str = "<!-- sizes -->\n";
const END: &str = "<!-- end: sizes -->";

/// Prints the tables, or with `--write` puts them into the document.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let write = match arguments {
        [] => false,
        [option] if option == "--write" => true,
        _ => return Err("sizes takes --write or nothing".to_owned()),
    };
    for tool in ["nm", "size", "strip"] {
        if setup::find(tool).is_none() {
            return setup::leave_out(&format!("what the programs weigh: {tool} is not installed"));
        }
    }
    let root = workspace::root();
    let programs = PROGRAMS.map(|program| Weight::of(&root, program));
    let [agentd, agentctl] = programs;
    let mut text = programs_table(&[agentd?, agentctl?]);
    text.push_str(&packages::table(&target(&root).join("package"))?);
    if !write {
        say(&text);
        return Ok(());
    }
    let document = root.join(DOCUMENT);
    let io = |error: std::io::Error| format!("{}: {error}", document.display());
    let old = fs::read_to_string(&document).map_err(io)?;
    let new = replaced(&old, &text).ok_or_else(|| format!("{DOCUMENT} has no place for the sizes"))?;
    fs::write(&document, new).map_err(io)
}

/// Bytes by what they are.
type Sizes = BTreeMap<&'static str, u64>;

/// What a program weighs.
struct Weight {
    /// As it is handed out.
    stripped: u64,
    /// By cause.
    causes: Sizes,
    /// What has no symbol, by section.
    sections: Sizes,
}

impl Weight {
    fn of(root: &Path, program: &str) -> Result<Self, String> {
        let directory = target(root);
        let built = match std::env::var_os("AGENTD_BIN_DIR") {
            Some(given) => PathBuf::from(given).join(program),
            None => link(root, program)?,
        };
        let stripped = directory.join(format!("{program}.stripped"));
        output(Command::new("strip").arg("-o").arg(&stripped).arg(&built))?;
        let size = fs::metadata(&stripped).map_err(|error| format!("{}: {error}", stripped.display()))?.len();
        let _scratch = fs::remove_file(&stripped);
        let symbols =
            output(Command::new("nm").args(["--print-size", "--defined-only", "--demangle"]).arg(&built))?;
        let sections = output(Command::new("size").args(["-A", "-d"]).arg(&built))?;
        Ok(Self::read(size, &String::from_utf8_lossy(&symbols), &String::from_utf8_lossy(&sections)))
    }

    fn read(stripped: u64, symbols: &str, sections: &str) -> Self {
        let mut causes = Sizes::new();
        let (mut code, mut data) = (0, 0);
        // Functions that came out the same are one, with several names.
        let mut seen = HashSet::new();
        for (address, kind, size, name) in symbols.lines().filter_map(symbol) {
            if !seen.insert(address) {
                continue;
            }
            match kind {
                't' | 'T' | 'w' | 'W' => code += size,
                'r' | 'R' | 'd' | 'D' => data += size,
                // What is zero when the program starts is not in the file.
                _ => continue,
            }
            *causes.entry(causes::of(name)).or_default() += size;
        }
        let (mut of_code, mut of_data, mut unwinding, mut relocations) = (0, 0, 0, 0);
        for (name, size) in sections.lines().filter_map(section) {
            match name {
                ".text" => of_code += size,
                ".rodata" | ".data" | ".data.rel.ro" | ".tdata" => of_data += size,
                ".eh_frame" | ".eh_frame_hdr" | ".gcc_except_table" => unwinding += size,
                name if name.starts_with(".rel") => relocations += size,
                _ => {}
            }
        }
        let named = [
            ("code without a symbol: assembly, padding", u64::saturating_sub(of_code, code)),
            ("texts, tables of compilers, other constants", u64::saturating_sub(of_data, data)),
            ("tables for unwinding, which backtraces read", unwinding),
            ("relocations: where it is loaded is random", relocations),
        ];
        let known = of_code.max(code) + of_data.max(data) + unwinding + relocations;
        let mut sections = Sizes::from(named);
        sections.insert("headers and the rest", stripped.saturating_sub(known));
        Self { stripped, causes, sections }
    }
}

/// As it is handed out, but with its symbols.
fn link(root: &Path, program: &str) -> Result<PathBuf, String> {
    let mut build = cargo();
    build.args(["rustc", "--locked", "--release", "-p", program, "--bin", program, "--", "-C", "strip=none"]);
    run::run(build.current_dir(root))?;
    Ok(target(root).join("release").join(program))
}

/// `0000000000012345 0000000000000042 t core::fmt::write`
fn symbol(line: &str) -> Option<(&str, char, u64, &str)> {
    let mut words = line.splitn(4, ' ');
    let (address, size, kind, name) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Some((address, kind.chars().next()?, u64::from_str_radix(size, 16).ok()?, name))
}

/// `.text   2345678   4096`
fn section(line: &str) -> Option<(&str, u64)> {
    let mut words = line.split_whitespace();
    Some((words.next().filter(|name| name.starts_with('.'))?, words.next()?.parse().ok()?))
}

fn programs_table(programs: &[Weight; 2]) -> String {
    let mut rows: Vec<(&str, [u64; 2])> = Vec::new();
    let parts: [fn(&Weight) -> &Sizes; 2] = [|weight| &weight.causes, |weight| &weight.sections];
    for part in parts {
        let names = programs.iter().flat_map(|weight| part(weight).keys());
        for name in names {
            if !rows.iter().any(|(known, _)| known == name) {
                rows.push((name, [0, 1].map(|i| part(&programs[i]).get(name).copied().unwrap_or(0))));
            }
        }
    }
    rows.retain(|(_, sizes)| sizes.iter().any(|size| *size >= 1024));
    rows.sort_by_key(|(_, sizes)| std::cmp::Reverse(sizes.iter().sum::<u64>()));
    let mut text = format!("\n| KiB in | {} | {} |\n|---|---|---|\n", PROGRAMS[0], PROGRAMS[1]);
    let mut row = |name: &str, [first, second]: [u64; 2]| {
        let _infallible = writeln!(text, "| {name} | {} | {} |", kib(first), kib(second));
    };
    row("**all of it, stripped**", [0, 1].map(|i| programs[i].stripped));
    for (name, sizes) in rows {
        row(name, sizes);
    }
    text
}

fn kib(bytes: u64) -> u64 {
    (bytes + 512) / 1024
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn replaced(document: &str, text: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_added_by_cause_and_the_rest_by_section() {
        let symbols = "0000000000001000 0000000000000400 t rustls::client::connect\n\
                       0000000000002000 0000000000000400 T core::ptr::drop_in_place<rustls::Error>\n\
                       0000000000002000 0000000000000400 T core::ptr::drop_in_place<rustls::Other>\n\
                       0000000000003000 0000000000000800 r K256\n\
                       0000000000004000 0000000000009999 b a::buffer\n\
                                        U malloc\n";
        let sections = "x  :\nsection  size  addr\n.text  3072  4096\n.rodata  4096  1\n.eh_frame  10  1\n.rela.dyn  20  1\n.bss 9 9\n";
        let weight = Weight::read(8192, symbols, sections);
        assert_eq!(weight.causes.values().sum::<u64>(), 0x400 + 0x400 + 0x800);
        assert_eq!(weight.causes.get(causes::of("rustls::x")), Some(&0x800));
        let sections: Vec<u64> = weight.sections.into_values().collect();
        assert_eq!(
            sections.iter().sum::<u64>(),
            8192 - 0x1000,
            "nothing is counted twice or lost: {sections:?}"
        );
    }

    #[test]
    fn the_document_keeps_what_is_around() {
        let old = format!("a\n{BEGIN}old\n{END}\nb\n");
        assert_eq!(replaced(&old, "\nnew\n").as_deref(), Some(&*format!("a\n{BEGIN}\nnew\n\n{END}\nb\n")));
        assert_eq!(replaced("nothing", "new"), None);
    }
}

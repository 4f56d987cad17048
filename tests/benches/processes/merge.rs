//! Three overlapping sources to one durable bundle.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use test_support::endpoint::{Endpoint, write};
use test_support::process::command;
use test_support::tools;

use crate::corpus;
use crate::measure::{Contender, Measured, contest};
use crate::table::{goal, head, ms, row, say, times};

const OURS: &str = "agentctl regen";
const FLOOR: &str = "cat, fsync, mv, fsync";
const TRUST: &str = "trust extract (p11-kit)";

/// All three sizes.
pub(crate) fn run() {
    for count in corpus::SIZES {
        size(&corpus::of(count));
    }
}

fn size(blocks: &[String]) {
    let endpoint = corpus::endpoint(blocks);
    let sources = corpus::paths(&endpoint);
    let work = endpoint.beside("peers");
    write(&work.join("new/.keep"), "");
    let mut contenders = ours_and_floor(&endpoint, &sources, &work);
    contenders.extend(peers(&sources, &work, blocks.len()));
    let measured = contest(&contenders);
    print(&format!("Merge: {} anchors in three sources", blocks.len()), &measured);
    note_goals(blocks.len(), &measured);
    check(&endpoint, blocks.len());
}

fn note_goals(count: usize, measured: &[Measured]) {
    let wall = |name: &str| measured.iter().find(|one| one.name == name).map(|one| one.wall.median());
    let (Some(ours), Some(floor)) = (wall(OURS), wall(FLOOR)) else { return };
    let (limit, least) = match count {
        10_000 => (4, 500),
        1_000 => (4, 20),
        _ => (3, 5),
    };
    goal(
        format!("three sources to a durable bundle, {count} anchors: within {limit}× of the floor"),
        format!("{} ({} ms)", times(ours, floor), ms(ours)),
        ours <= floor * limit,
    );
    if let Some(trust) = wall(TRUST) {
        goal(
            format!("… {count} anchors: {least}× as fast as trust extract"),
            times(trust, ours),
            trust >= ours * least,
        );
    }
}

fn ours_and_floor<'a>(
    endpoint: &'a Endpoint,
    sources: &'a [PathBuf; 3],
    work: &'a Path,
) -> Vec<Contender<'a>> {
    // Small ones are quick and noisy, so they get more runs.
    let runs = if sources[0].metadata().is_ok_and(|source| source.len() > 1 << 20) { 20 } else { 60 };
    vec![
        Contender {
            name: FLOOR,
            runs,
            prepare: Box::new(|| clear(&work.join("cat"))),
            command: Box::new(|| {
                let script = "cat \"$1\" \"$2\" \"$3\" > \"$4/new\" && sync \"$4/new\" && mv \"$4/new\" \"$4/out\" && sync \"$4\"";
                shell(script, sources, &work.join("cat"))
            }),
        },
        Contender {
            name: OURS,
            runs,
            prepare: Box::new(|| {
                let _none = fs::remove_file(endpoint.merged());
                let _none = fs::remove_dir_all(endpoint.path("var/lib/agentd/state"));
            }),
            command: Box::new(|| endpoint.agentctl_command(&["--quiet", "regen"])),
        },
    ]
}

/// Those that are installed, and that are not past all bounds at this size.
fn peers<'a>(sources: &'a [PathBuf; 3], work: &'a Path, count: usize) -> Vec<Contender<'a>> {
    let few = count < 1_000;
    let many = count >= 10_000;
    let mut contenders = Vec::new();
    let mut add =
        |program: &str, name, runs, prepare: Box<dyn Fn() + 'a>, command: Box<dyn Fn() -> Command + 'a>| {
            if tools::find(program).is_none() {
                say(&format!("\n{name}: {program} is not installed, left out"));
            } else if runs == 0 {
                say(&format!("\n{name}: left out with {count}, it takes minutes"));
            } else {
                contenders.push(Contender { name, runs, prepare, command });
            }
        };
    let own = |name: &str| {
        let directory = work.join(name);
        clear(&directory);
        directory
    };
    add(
        "trust",
        TRUST,
        if few {
            20
        } else if many {
            1
        } else {
            8
        },
        Box::new(|| ()),
        p11_kit(sources, own("p11-kit")),
    );
    let (fresh, update) = debian(sources, own("debian"));
    add(
        "update-ca-certificates",
        "update-ca-certificates --fresh",
        if few {
            4
        } else if many {
            0
        } else {
            1
        },
        fresh,
        update,
    );
    let directory = own("storeutl");
    add(
        "openssl",
        "openssl storeutl -certs, thrice",
        if many { 4 } else { 20 },
        Box::new(|| ()),
        Box::new(move || {
            let script = "for f in \"$1\" \"$2\" \"$3\"; do openssl storeutl -certs \"$f\" || exit; done > \"$4/new\" && mv \"$4/new\" \"$4/out\"";
            shell(script, sources, &directory)
        }),
    );
    let directory = own("python");
    add(
        "python3",
        "Python ssl, load and dump",
        if few {
            20
        } else if many {
            1
        } else {
            8
        },
        Box::new(|| ()),
        Box::new(move || {
            let mut python = command(tools::path("python3"));
            python.args(["-c", PYTHON]).args(sources).arg(&directory);
            python
        }),
    );
    contenders
}

const PYTHON: &str = "
import os, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
for path in sys.argv[1:4]:
    context.load_verify_locations(path)
with open(sys.argv[4] + '/new', 'w') as new:
    for der in context.get_ca_certs(binary_form=True):
        new.write(ssl.DER_cert_to_PEM_cert(der))
os.rename(sys.argv[4] + '/new', sys.argv[4] + '/out')
";

/// Its trust module on a directory of ours. For root it reads no configuration but the system's, so it runs as nobody.
fn p11_kit<'a>(sources: &[PathBuf; 3], directory: PathBuf) -> Box<dyn Fn() -> Command + 'a> {
    const NOBODY: u32 = 65_534;
    for (index, source) in sources.iter().enumerate() {
        write(&directory.join(format!("anchors/{index}.pem")), fs::read(source).expect("a source of ours"));
    }
    let module = format!(
        "module: p11-kit-trust.so\ntrust-policy: yes\nx-init-reserved: paths='{}'\n",
        directory.display()
    );
    write(&directory.join("home/.config/pkcs11/modules/p11-kit-trust.module"), module);
    write(&directory.join("out/.keep"), "");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(directory.join("out"), open).expect("a directory of ours");
    Box::new(move || {
        let mut trust = command(tools::path("trust"));
        trust.args(["extract", "--format=pem-bundle", "--filter=ca-anchors", "--purpose=server-auth"]);
        trust.arg("--overwrite").arg(directory.join("out/bundle.pem")).env("HOME", directory.join("home"));
        if rustix::process::geteuid().is_root() {
            trust.uid(NOBODY).gid(NOBODY);
        }
        trust.current_dir("/");
        trust
    })
}

type Made<'a> = (Box<dyn Fn() + 'a>, Box<dyn Fn() -> Command + 'a>);

/// It takes one certificate a file, and knows no duplicates.
fn debian<'a>(sources: &[PathBuf; 3], directory: PathBuf) -> Made<'a> {
    const END: &str = "-----END CERTIFICATE-----\n";
    for (index, source) in sources.iter().enumerate() {
        let text = fs::read_to_string(source).expect("a source of ours");
        for (number, block) in text.split_inclusive(END).enumerate() {
            write(&directory.join(format!("local/{index}-{number:05}.crt")), block);
        }
    }
    for empty in ["certs", "hooks", "etc"] {
        fs::create_dir_all(directory.join(empty)).expect("a directory of ours");
    }
    write(&directory.join("conf"), "# none of the system's\n");
    let etc = directory.join("etc");
    let prepare = Box::new(move || clear(&etc));
    let command = Box::new(move || {
        let mut update = command(tools::path("update-ca-certificates"));
        update.arg("--fresh");
        for (option, name) in [
            ("--certsconf", "conf"),
            ("--certsdir", "certs"),
            ("--localcertsdir", "local"),
            ("--hooksdir", "hooks"),
            ("--etccertsdir", "etc"),
        ] {
            update.arg(option).arg(directory.join(name));
        }
        update
    });
    (prepare, command)
}

fn shell(script: &str, sources: &[PathBuf; 3], directory: &Path) -> Command {
    let mut shell = command("/bin/sh");
    shell.args(["-c", script, "sh"]).args(sources).arg(directory);
    shell
}

fn clear(directory: &Path) {
    let _none = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).expect("a directory of ours");
}

fn print(title: &str, measured: &[Measured]) {
    let of = |name: &str| measured.iter().find(|one| one.name == name).expect("it always runs");
    let (floor, ours) = (of(FLOOR), of(OURS));
    head(
        title,
        &["", "wall ms, median", "min–max", "CPU ms, mean", "peak MiB", "runs", "of the floor", "of ours"],
    );
    for one in measured {
        let note = if one.failed > 0 { format!(" ({} failed)", one.failed) } else { String::new() };
        let cpu = if one.cpu == Duration::ZERO { "<1".to_owned() } else { ms(one.cpu) };
        row(&[
            format!("{}{note}", one.name),
            ms(one.wall.median()),
            format!("{}–{}", ms(one.wall.min()), ms(one.wall.max())),
            cpu,
            one.peak.map_or_else(|| "–".to_owned(), |kib| format!("{:.1}", kib as f64 / 1024.0)),
            one.wall.len().to_string(),
            times(one.wall.median(), floor.wall.median()),
            times(one.wall.median(), ours.wall.median()),
        ]);
    }
}

/// A figure of something that went wrong is none.
fn check(endpoint: &Endpoint, expected: usize) {
    match endpoint.published() {
        Ok(found) if found.len() == expected => {}
        Ok(found) => say(&format!("\nWRONG: the bundle has {} anchors, not {expected}", found.len())),
        Err(error) => say(&format!("\nWRONG: {error}")),
    }
}

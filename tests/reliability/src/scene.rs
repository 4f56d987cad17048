//! A store before a change, which every try begins with anew, and the judgement of what a try left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::endpoint::{program, replace, write};
use test_support::pem;
use test_support::pki::{self, Cert};
use test_support::process::{self, Run};

use crate::tree;

/// The certificates that all scenes of a sweep share.
pub struct Certs {
    /// In the sources before the change.
    pub old: Vec<Cert>,
    /// What comes with it.
    pub new: Vec<Cert>,
}

impl Default for Certs {
    fn default() -> Self {
        Self { old: pki::roots("Old", 4), new: pki::roots("New", 2) }
    }
}

/// What the store has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// Nothing: sources alone, no directory of ours.
    Nothing,
    /// A generation; then a source gained and lost an anchor, another gained one, and a third cannot be read any more:
    /// what it holds is in the state alone.
    Changed,
    /// Two generations, and nothing changed since.
    Settled,
    /// A generation, a source that cannot be read any more, and a change that is still to come.
    Warm,
}

/// A store of its own in a directory: `root` is worked on, `before` is what it begins with.
pub struct Scene {
    directory: PathBuf,
    old: Option<Vec<u8>>,
    new: Vec<u8>,
    shape: BTreeMap<String, usize>,
    /// Fingerprints that the bundle may have where some of the sources could not be read.
    between: Vec<Vec<String>>,
    /// Lines of a clean run that name a problem.
    marks: usize,
    /// The first anchor of the store.
    first_anchor: String,
    action: Action,
}

/// What is run against the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `agentctl` with these arguments.
    Agentctl(Vec<String>),
    /// `agentctl distrust` of the first anchor.
    Distrust,
    /// A writer of this sort in its place, which must fail the sweep.
    Control(Control),
}

impl Action {
    /// `agentctl` with these arguments.
    #[must_use]
    pub fn agentctl(arguments: &[&str]) -> Self {
        Self::Agentctl(arguments.iter().map(|&argument| argument.to_owned()).collect())
    }
}

/// Writers that break a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// Truncates the bundle and writes it.
    InPlace,
    /// A new file renamed over the old, and nothing synced.
    NoSync,
}

/// Which of its two contents the bundle has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// That of before, or none where there was none.
    Old,
    /// That of after.
    New,
    /// The sources that could be read are new in it, the others old.
    Between,
}

impl Scene {
    /// Makes one in an empty directory.
    ///
    /// # Panics
    /// Where the directory cannot be written or a clean run fails.
    #[must_use]
    pub fn new(directory: &Path, past: Past, action: Action, certs: &Certs) -> Self {
        let mut scene = Self {
            directory: directory.to_owned(),
            old: None,
            new: Vec::new(),
            shape: BTreeMap::new(),
            between: Vec::new(),
            marks: 0,
            first_anchor: certs.old[0].sha256(),
            action,
        };
        scene.prepare(past, certs);
        tree::copy(&scene.root(), &scene.before());
        scene.old = fs::read(scene.merged()).ok();
        scene.between = between(past, certs);
        let control = std::mem::replace(&mut scene.action, Action::agentctl(&["regen"]));
        if !matches!(control, Action::Control(_)) {
            scene.action = control.clone();
        }
        if past == Past::Warm {
            scene.change();
        }
        scene.marks = marks(&scene.recover());
        scene.new = fs::read(scene.merged()).expect("a clean run publishes");
        scene.shape = tree::shape(&scene.root());
        write(&scene.directory.join("new.pem"), &scene.new);
        scene.action = control;
        assert_ne!(scene.old.as_ref(), Some(&scene.new), "the change changes the bundle");
        scene
    }

    fn prepare(&self, past: Past, certs: &Certs) {
        let (old, new) = (&certs.old, &certs.new);
        let root = self.root();
        fs::create_dir_all(root.join("etc/agentd")).expect("a scratch directory");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("a directory of ours");
        let site = root.join("var/lib/agentd/cainfo-ss.pem");
        write(&self.bootstrap(), pki::bundle(&old[..2]));
        write(&site, old[2].pem());
        write(&self.named(), old[3].pem());
        let policy = format!(
            "<Policy guid=\"{{11111111-2222-3333-4444-555555555555}}\" version=\"1\"><CurlSSL SSLVerifyPeer=\"yes\" CAInfo=\"{}\"/></Policy>\n",
            self.named().display()
        );
        write(&root.join("var/lib/agentd/policies/11111111-2222-3333-4444-555555555555.xml"), policy);
        if past == Past::Nothing {
            return;
        }
        let regen = || process::run(&mut self.agentctl(&["regen"])).expect_code(0);
        let _first = regen();
        // Refused from now on: anybody may write it.
        fs::set_permissions(&site, fs::Permissions::from_mode(0o666)).expect("a file of ours");
        if past == Past::Warm {
            write(&self.directory.join("changed.pem"), format!("{}{}", pki::bundle(&old[..2]), new[0].pem()));
            return;
        }
        write(&self.bootstrap(), format!("{}{}", old[0].pem(), new[0].pem()));
        write(&self.named(), format!("{}{}", old[3].pem(), new[1].pem()));
        if past == Past::Settled {
            let _second = regen();
        }
    }

    /// The directory that everything is under.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// The bundle.
    #[must_use]
    pub fn merged(&self) -> PathBuf {
        self.root().join("var/lib/agentd/cainfo-merged.pem")
    }

    /// The trace of the last run.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("strace.log")
    }

    fn before(&self) -> PathBuf {
        self.directory.join("before")
    }

    fn bootstrap(&self) -> PathBuf {
        self.root().join("var/lib/agentd/cainfo.pem")
    }

    fn named(&self) -> PathBuf {
        self.root().join("opt/company/ca.pem")
    }

    /// The change that comes while a daemon runs: a source gains an anchor.
    ///
    /// # Panics
    /// Where the scratch directory cannot be written.
    pub fn change(&self) {
        let changed = fs::read(self.directory.join("changed.pem")).expect("a scene with a change to come");
        replace(&self.bootstrap(), changed);
    }

    /// Gives what the store begins with a configuration.
    ///
    /// # Panics
    /// Where the scratch directory cannot be written.
    pub fn configure(&mut self, toml: &str) {
        self.reset();
        write(&self.root().join("etc/agentd/agentd.toml"), toml);
        tree::restore(&self.root(), &self.before());
    }

    /// What a clean run leaves, where another one than that of the action is swept.
    pub fn expect_shape(&mut self, shape: BTreeMap<String, usize>) {
        self.shape = shape;
    }

    /// Whether the state speaks of the bundle that is in place.
    #[must_use]
    pub fn is_state_of_the_bundle(&self) -> bool {
        let state =
            fs::read_to_string(self.root().join("var/lib/agentd/state/state.json")).unwrap_or_default();
        fs::read(self.merged()).is_ok_and(|bundle| state.contains(&pem::sha256_hex(&bundle)))
    }

    /// Puts the store back to what it began with.
    pub fn reset(&self) {
        self.reset_to(&self.before());
    }

    /// Puts the store to a copy that was made of it.
    pub fn reset_to(&self, copy: &Path) {
        tree::restore(copy, &self.root());
    }

    /// Keeps a copy of the store as it is now, and says where.
    #[must_use]
    pub fn keep(&self, name: &str) -> PathBuf {
        let copy = self.directory.join("kept").join(name);
        tree::restore(&self.root(), &copy);
        copy
    }

    /// Whether a copy was kept here.
    #[must_use]
    pub fn owns(&self, copy: &Path) -> bool {
        copy.starts_with(&self.directory)
    }

    /// `agentctl` on this store.
    #[must_use]
    pub fn agentctl(&self, arguments: &[&str]) -> Command {
        agentctl(&self.root(), arguments)
    }

    /// `agentd` on this store.
    #[must_use]
    pub fn agentd(&self) -> Command {
        let mut command = process::command(program("agentd"));
        command.arg("--root").arg(self.root());
        command
    }

    /// What is swept.
    #[must_use]
    pub fn command(&self) -> Command {
        match &self.action {
            Action::Agentctl(arguments) => {
                self.agentctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Action::Distrust => self.agentctl(&["distrust", &self.first_anchor]),
            Action::Control(control) => {
                let mut command = process::command(crate::own_program());
                let sort = match control {
                    Control::InPlace => "in-place",
                    Control::NoSync => "no-sync",
                };
                command.args(["write", sort]).arg(self.directory.join("new.pem")).arg(self.merged());
                command
            }
        }
    }

    /// Whether the product is swept, whose next run mends what is left.
    #[must_use]
    pub fn is_product(&self) -> bool {
        !matches!(self.action, Action::Control(_))
    }

    /// A clean run after a try.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn recover(&self) -> Run {
        process::run(&mut self.command()).expect_code(0)
    }

    /// Whether a run names more problems than a clean one: a source that cannot be read, or a warning, is marked so.
    #[must_use]
    pub fn names_a_problem(&self, run: &Run) -> bool {
        marks(run) > self.marks
    }

    /// Lets the next run mend what a try left, and judges it. After an order it is anybody's regeneration, which may take
    /// nothing back, and then the order again. `twice` as in [`Self::judge_recovered_after`].
    ///
    /// # Errors
    /// What is wrong afterwards.
    pub fn complete(&self, found: Which, twice: bool) -> Result<(), String> {
        let regen = Action::agentctl(&["regen"]);
        if self.action != regen {
            run_again(&mut self.agentctl(&["regen"]))?;
            let after = self.judge()?;
            if found == Which::New && after != Which::New {
                return Err(format!("the next regeneration took it back: the bundle is {after:?}"));
            }
        }
        run_again(&mut self.command())?;
        self.judge_recovered_after(twice)
    }

    /// Which content the bundle has; with the wrong mode or owner it has none that is right.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self) -> Result<Which, String> {
        let merged = self.merged();
        let Ok(bytes) = fs::read(&merged) else {
            return if self.old.is_none() { Ok(Which::Old) } else { Err("the bundle is gone".to_owned()) };
        };
        let metadata = fs::metadata(&merged).map_err(|error| error.to_string())?;
        let directory =
            fs::metadata(merged.parent().unwrap_or(&merged)).map_err(|error| error.to_string())?;
        if metadata.permissions().mode() & 0o7777 != 0o644 || metadata.uid() != directory.uid() {
            return Err(format!(
                "the bundle has mode {:o} and owner {}",
                metadata.permissions().mode(),
                metadata.uid()
            ));
        }
        if bytes == self.new {
            return Ok(Which::New);
        }
        if Some(&bytes) == self.old.as_ref() {
            return Ok(Which::Old);
        }
        let certificates = pem::strict_certificates(&bytes)
            .map_err(|error| format!("the bundle is torn ({} bytes): {error}", bytes.len()))?;
        let found: Vec<String> = certificates.iter().map(|der| pem::sha256_hex(der)).collect();
        if self.between.contains(&found) {
            Ok(Which::Between)
        } else {
            Err(format!("the bundle has {} certificates that no reading gives", found.len()))
        }
    }

    /// What a clean run left that ought not to be there, or did not do. `twice` says that there may have been a publication
    /// in between, which left a generation and spares.
    ///
    /// # Errors
    /// What that is.
    pub fn judge_recovered_after(&self, twice: bool) -> Result<(), String> {
        match self.judge()? {
            Which::New => {}
            other => return Err(format!("after the next run the bundle is {other:?}")),
        }
        let complaints = self.left_over(twice);
        if !complaints.is_empty() {
            return Err(format!("files after the next run: {}", complaints.join("; ")));
        }
        let status = process::run(&mut self.agentctl(&["status", "--json"]));
        if status.code() != 0 || status.out().contains("state-unusable") {
            return Err(format!("status: {}\n{}{}", status.code(), status.out(), status.err()));
        }
        Ok(())
    }

    /// Files that a clean run does not leave, more of them than it leaves, or fewer.
    fn left_over(&self, twice: bool) -> Vec<String> {
        /// Spares of the state before: there may be one less after a fault, and at most so many after two publications.
        const SPARES: [(&str, usize); 2] = [("state.json.previous", 1), ("snapshots/#.pem", 2)];
        const GENERATIONS: &str = "generations/#.pem";
        let shape = tree::shape(&self.root());
        let names: BTreeSet<&String> = shape.keys().chain(self.shape.keys()).collect();
        let count = |shape: &BTreeMap<String, usize>, name: &String| shape.get(name).copied().unwrap_or(0);
        let differs = |name: &&String| {
            let (found, clean) = (count(&shape, name), count(&self.shape, name));
            match SPARES.iter().find(|(spare, _)| name.ends_with(spare)) {
                Some((_, two)) => found > if twice { *two } else { clean },
                None if name.ends_with(GENERATIONS) => found != clean && !(twice && found == clean + 1),
                None => found != clean,
            }
        };
        let differing = names.into_iter().filter(differs);
        differing
            .map(|name| format!("{name}: {} in place of {}", count(&shape, name), count(&self.shape, name)))
            .collect()
    }
}

fn run_again(command: &mut Command) -> Result<(), String> {
    let next = process::run(command);
    if next.code() == 0 {
        Ok(())
    } else {
        Err(format!("the next run ends with {}: {}", next.code(), next.err()))
    }
}

/// `agentctl` on the store under this directory.
#[must_use]
pub fn agentctl(root: &Path, arguments: &[&str]) -> Command {
    let mut command = process::command(program("agentctl"));
    command.arg("--root").arg(root).args(arguments);
    command
}

fn marks(run: &Run) -> usize {
    run.out().lines().filter(|line| line.starts_with('!')).count()
}

/// The fingerprints that result where some sources are read and others not.
fn between(past: Past, certs: &Certs) -> Vec<Vec<String>> {
    let (old, new) = (&certs.old, &certs.new);
    let mut bootstraps = vec![vec![&old[0], &old[1]], vec![&old[0], &new[0]]];
    if past == Past::Nothing {
        // Nothing is known of it that could stay.
        bootstraps.push(Vec::new());
    }
    let named = [vec![], vec![&old[3]], vec![&old[3], &new[1]]];
    let sites = [vec![], vec![&old[2]]];
    let mut all = Vec::new();
    for bootstrap in &bootstraps {
        for site in &sites {
            for named in &named {
                let certs = bootstrap.iter().chain(site).chain(named);
                all.push(certs.map(|cert| cert.sha256()).collect());
            }
        }
    }
    all
}

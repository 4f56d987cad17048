//! The power goes: the process ends at a point, the file system is shut down without another write, and mounted again.
//!
//! On a file system in a file, by the shutdown ioctl of ext4 and XFS: what was not synced is lost as in a power cut. A
//! killed process alone never shows a missing sync, since the kernel still has everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::process::{command, run};
use test_support::tools;

use crate::errno::changes_the_disk;
use crate::figures::Figures;
use crate::scene::{Action, Certs, Past, Scene, Which};
use crate::strace::{Fault, Point, points, shoot};

/// A file system that knows the ioctl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Without the heuristic that syncs a file renamed over another.
    Ext4,
    /// XFS.
    Xfs,
}

/// What the cut spares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The log is written, data is not.
    LogKept,
    /// Neither.
    LogLost,
}

/// Whether this can be done here: root, loop devices, the programs.
#[must_use]
pub fn is_possible() -> bool {
    let programs = ["losetup", "mkfs.ext4", "mkfs.xfs", "mount", "umount", "python3", "strace"];
    if !tools::require(&programs) {
        return false;
    }
    if !rustix::process::geteuid().is_root() {
        return tools::left_out("mounting takes root");
    }
    let scratch = tempfile::tempdir().expect("a temporary directory");
    match Disk::new(scratch.path(), Kind::Ext4) {
        Ok(_disk) => true,
        Err(why) => tools::left_out(&format!("no file system can be made in a file: {why}")),
    }
}

/// Cuts the power at every point of an action's work that changes the disk and at every `step`-th other, and once after
/// its end.
///
/// # Errors
/// Where the file system cannot be made.
pub fn sweep(
    what: &str,
    action: &Action,
    past: Past,
    (kind, cut): (Kind, Cut),
    step: usize,
) -> Result<Figures, String> {
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let disk = Disk::new(scratch.path(), kind)?;
    let scene = Scene::new(&disk.mount.join("scene"), past, action.clone(), &Certs::default());
    let log = scratch.path().join("strace.log");
    scene.reset();
    let all = points(&scene.command(), &log, &scene.root());
    let mut figures = Figures::new(&format!("power cut: {what}, {kind:?}, {cut:?}"));
    // A point's signal comes before its call: the one after a change shows what the change left.
    let follows = |index: usize| index > 0 && changes_the_disk(&all[index - 1]);
    let chosen = all.iter().enumerate().filter(|(index, point)| {
        point.at_work && (changes_the_disk(point) || follows(*index) || index % step == 0)
    });
    for point in chosen.map(|(_, point)| Some(point)).chain([None]) {
        scene.reset();
        disk.sync();
        let reported = end_at(&scene, &log, point, &mut figures);
        disk.cut(cut)?;
        let verdict = judge(&scene, reported);
        match verdict {
            Ok(which) => figures.count(which),
            Err(why) => {
                let place = point.map_or_else(|| "after the end".to_owned(), ToString::to_string);
                figures.bad(&format!("{place}: {why}"));
            }
        }
    }
    Ok(figures)
}

/// Runs up to the point, or to the end; true where the publication was reported.
fn end_at(scene: &Scene, log: &Path, point: Option<&Point>, figures: &mut Figures) -> bool {
    figures.tried += 1;
    let Some(point) = point else {
        return run(&mut scene.command()).code() == 0;
    };
    let shot = shoot(&scene.command(), log, point, Fault::Kill);
    figures.missed += usize::from(!shot.hit);
    scene.is_product() && shot.run.out().contains("✓ generation")
}

fn judge(scene: &Scene, reported: bool) -> Result<Which, String> {
    let which = scene.judge()?;
    if reported && which != Which::New {
        return Err(format!("it was reported as published, and the bundle is {which:?}"));
    }
    if scene.is_product() {
        scene.complete(which, false)?;
    }
    Ok(which)
}

/// A file system in a file, mounted as long as this lives.
struct Disk {
    device: String,
    mount: PathBuf,
    kind: Kind,
}

impl Disk {
    fn new(directory: &Path, kind: Kind) -> Result<Self, String> {
        let (image, mount) = (directory.join("image"), directory.join("mount"));
        let size = match kind {
            Kind::Ext4 => 64 << 20,
            // The smallest that it can be made.
            Kind::Xfs => 320 << 20,
        };
        let made = fs::File::create(&image).and_then(|file| file.set_len(size));
        made.and_then(|()| fs::create_dir_all(&mount)).map_err(|error| error.to_string())?;
        let device = tool("losetup", &["-f".as_ref(), "--show".as_ref(), image.as_ref()])?.trim().to_owned();
        let disk = Self { device, mount, kind };
        match kind {
            Kind::Ext4 => tool("mkfs.ext4", &["-q".as_ref(), disk.device.as_ref()])?,
            Kind::Xfs => tool("mkfs.xfs", &["-q".as_ref(), disk.device.as_ref()])?,
        };
        disk.attach()?;
        Ok(disk)
    }

    fn attach(&self) -> Result<(), String> {
        let options = match self.kind {
            Kind::Ext4 => "noauto_da_alloc",
            Kind::Xfs => "defaults",
        };
        let arguments = ["-o".as_ref(), options.as_ref(), self.device.as_ref(), self.mount.as_ref()];
        tool("mount", &arguments).map(drop)
    }

    fn sync(&self) {
        let mount = fs::File::open(&self.mount).expect("a mounted file system");
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(&mount).expect("a file system that is well");
        // Elsewhere neither file system can be mounted, so nobody comes here.
        #[cfg(not(target_os = "linux"))]
        drop(mount);
    }

    fn cut(&self, cut: Cut) -> Result<(), String> {
        const SHUTDOWN: &str = "import fcntl,os,struct,sys\n\
                                fd=os.open(sys.argv[1],os.O_RDONLY)\n\
                                fcntl.ioctl(fd,0x8004587d,struct.pack('I',int(sys.argv[2])))";
        let flag = match cut {
            Cut::LogKept => "1",
            Cut::LogLost => "2",
        };
        tool("python3", &["-c".as_ref(), SHUTDOWN.as_ref(), self.mount.as_ref(), flag.as_ref()])?;
        self.remount()
    }

    /// Whoever made a mount namespace meanwhile has the file system as well, and as long as that lives a new mount is of
    /// the one that was shut down.
    fn remount(&self) -> Result<(), String> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let end = Instant::now() + PATIENCE;
        let probe = self.mount.join("probe");
        loop {
            tool("umount", &[self.mount.as_ref()])?;
            self.attach()?;
            match fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > end => {
                    return Err(format!("{} stays shut down: {error}", self.mount.display()));
                }
                Err(_) => sleep(Duration::from_millis(100)),
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = tool("umount", &[self.mount.as_ref()]);
        let _free = tool("losetup", &["-d".as_ref(), self.device.as_ref()]);
    }
}

fn tool(name: &str, arguments: &[&std::ffi::OsStr]) -> Result<String, String> {
    let path = tools::find(name).ok_or_else(|| format!("{name} is not installed"))?;
    let mut command: Command = command(path);
    let run = run(command.args(arguments));
    if run.code() == 0 { Ok(run.out()) } else { Err(format!("{}: {}", run.command, run.err().trim())) }
}

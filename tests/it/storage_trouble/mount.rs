//! Small file systems in a test's own mount namespace: nothing stays mounted, whatever happens to the test.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells the process that it is in the namespace.
const INSIDE: &str = "ONCEWARD_TEST_MAY_MOUNT";

/// Keeps the other mount options: a user namespace rejects those with a user's id.
const ALONE: &str = "--options-source=disable";

/// Whether this process may mount. If not, the test has run in another process that may, or the output says why it
/// could not. Called on the test's own thread, which has the test's name.
#[expect(clippy::print_stdout, reason = "a test that does not run has to say so")]
fn may_mount() -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let thread = std::thread::current();
    let test = thread.name().expect("the name of a test");
    // A user other than root becomes root of a user namespace.
    let flags = if rustix::process::geteuid().is_root() { "-m" } else { "-rm" };
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg(flags);
        command
    };
    let probe = "d=$(mktemp -d) && mount -t tmpfs -o size=64k tmpfs \"$d\" && umount \"$d\" && rmdir \"$d\"";
    match unshare().args(["sh", "-c", probe]).output() {
        Ok(probed) if probed.status.success() => {}
        Ok(probed) => {
            println!("SKIPPED: {test}: cannot mount: {}", String::from_utf8_lossy(&probed.stderr).trim());
            return false;
        }
        Err(error) => {
            println!("SKIPPED: {test}: cannot run unshare (package util-linux): {error}");
            return false;
        }
    }
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--exact", test, "--nocapture"];
    let ended =
        unshare().arg(program).args(arguments).env(INSIDE, "1").output().expect("this test once more");
    let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success() && out.contains("1 passed"), "in its own namespace:\n{out}{err}");
    false
}

/// A mounted file system in memory. Dropping it unmounts it, even if it is busy.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `kib` KiB at this path, which must be below a directory for temporary files. `None` if this process
    /// may not mount: the caller then returns.
    pub fn of_kib(kib: u64, path: &Path) -> Option<Self> {
        if !may_mount() {
            return None;
        }
        assert!(path.starts_with(std::env::temp_dir()), "{} is not temporary", path.display());
        std::fs::create_dir_all(path).expect("a place to mount at");
        let options = format!("size={kib}k,mode=0700");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path));
        Some(Self(path.to_owned()))
    }

    pub fn resize_to_kib(&self, kib: u64) {
        self.remount(&format!("remount,size={kib}k"));
    }

    /// Leaves no free room, unless room is being taken at this moment.
    pub fn fill(&self) {
        self.leave_kib(0);
    }

    pub fn leave_kib(&self, kib: u64) {
        let disk = rustix::fs::statvfs(&self.0).expect("a file system");
        let used_kib = (disk.f_blocks - disk.f_bfree) * disk.f_frsize / 1024;
        let _ = self.remounted(&format!("remount,size={}k", used_kib + kib)).output();
    }

    /// Makes writes fail. No file on it may be open for writing.
    pub fn make_read_only(&self) {
        self.remount("remount,ro");
    }

    pub fn make_writable(&self) {
        self.remount("remount,rw");
    }

    fn remount(&self, options: &str) {
        run(&mut self.remounted(options));
    }

    fn remounted(&self, options: &str) -> Command {
        let mut mount = Command::new("mount");
        mount.args([ALONE, "-o", options]).arg(&self.0);
        mount
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(command: &mut Command) {
    let ended = command.output().expect("mount (package mount)");
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

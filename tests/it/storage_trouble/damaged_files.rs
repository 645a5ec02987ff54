//! Damages every file of a data directory in every way: a start finds everything that was acknowledged, or is refused
//! and says what to do. `docs/operate/data-directory.md` names the exceptions: the end of the newest segment of a
//! journal that was not closed in order.
//!
//! `DAMAGES=3000` tries more places in large files, `DAMAGE_SEED` repeats what a failure printed.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::damage::{Damage, copy, files_in, is_segment, used_bytes};
use super::driven::{Contents, StoreClient, contents_of};
use crate::support::prelude::*;

/// Memory that a start may use beyond the test's own: far less than a damaged length could request.
const MEMORY: u64 = 2 * 1024 * 1024 * 1024;

/// Longer than the start of a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Remedies. Every message of a refused start contains one.
const ADVICE: [&str; 8] = [
    "restore",
    "put the file back",
    "put right",
    "start the version",
    "put the right key back",
    "move it away",
    "dmesg",
    "chown",
];

#[test]
fn a_damaged_file_of_a_killed_server_is_reported_or_nothing_is_missing() {
    Left::by_a_kill().is_judged();
}

#[test]
fn a_damaged_file_of_a_closed_directory_is_reported_or_nothing_is_missing() {
    let left = Left::by_an_orderly_end();
    assert_eq!(left.only_in_newest.len(), 0, "an orderly end leaves nothing to the journal");
    left.is_judged();
}

/// A start reads a snapshot completely, and a checksum covers each of its bytes.
#[test]
fn a_start_refuses_a_snapshot_with_any_changed_byte_and_names_its_file() {
    let mut store = StoreClient::of_a_new_store();
    store.writes_durably(0..8, 5);
    assert_eq!(store.ask("remove 3"), "durable");
    assert_eq!(store.ask("close"), "closed");
    store.kill();
    let parts = snapshot_in(&store.directory);
    assert!(parts.len() >= 3, "{parts:?}");
    let mut rng = StdRng::seed_from_u64(1);
    for part in parts {
        let bytes = std::fs::read(store.directory.join(&part)).expect("a file").len();
        // Every byte of the small files, and some of the others.
        let mut places: Vec<usize> = (0..bytes).collect();
        if bytes > EVERY_BYTE {
            places = (0..60).map(|_| rng.random_range(0..bytes)).collect();
        }
        let flips = places.iter().map(|at| Damage::Flip(*at, u8::try_from(at % 8).expect("a bit")));
        let name = part.file_name().expect("a name").to_str().expect("text");
        for damage in flips.chain(places.iter().map(|at| Damage::Cut(*at))) {
            let what = format!("{damage:?} {}", part.display());
            let Err(message) = start_on(&store, Some((&part, &damage))) else {
                panic!("{what}: the damage went unnoticed")
            };
            assert!(message.contains(name), "{what}: {message}");
            says_what_to_do(&message, &what);
        }
    }
}

/// Files up to this length are damaged at every byte.
const EVERY_BYTE: usize = 600;

/// A directory that a store left behind, and the acknowledged content.
struct Left {
    store: StoreClient,
    /// The segment that the store wrote last.
    newest: PathBuf,
    /// The subjects that only this segment has, in the order of writing.
    only_in_newest: Vec<u64>,
}

impl Left {
    /// Several segments that no checkpoint covers, and a snapshot with large and small records.
    fn by_a_kill() -> Self {
        let mut store = with_a_snapshot();
        // From here on no checkpoint completes.
        store.shim.begin(&Trouble::hanging(&[Call::Sync]).on("/snapshot/"));
        let journal = store.directory.join("journal");
        let used = || files_in(&journal).into_iter().filter(|file| is_used(&journal.join(file))).count();
        let before = used();
        let mut subject = 1000;
        while used() < before + 3 {
            subject += 1;
            store.writes_durably([subject], 2000);
        }
        // A reserved segment after the newest one reveals that the newest is missing.
        let is_reserved = || {
            let last = files_in(&journal).into_iter().rfind(|file| is_segment(file));
            last.is_some_and(|file| !is_used(&journal.join(file)))
        };
        // The record that began the newest segment is in it too.
        let mut only_in_newest = vec![subject];
        while only_in_newest.len() < 4 || !is_reserved() {
            let before = used();
            subject += 1;
            store.writes_durably([subject], if only_in_newest.len() == 2 { 200 } else { 10 });
            if used() > before {
                only_in_newest.clear();
            }
            only_in_newest.push(subject);
        }
        store.kill();
        store.shim.end();
        let segments =
            files_in(&store.directory).into_iter().filter(|file| is_used(&store.directory.join(file)));
        let newest = segments.max().expect("segments");
        Self { store, newest, only_in_newest }
    }

    fn by_an_orderly_end() -> Self {
        let mut store = with_a_snapshot();
        assert_eq!(store.ask("close"), "closed");
        store.kill();
        Self { store, newest: PathBuf::new(), only_in_newest: Vec::new() }
    }

    #[expect(clippy::print_stdout, reason = "the seed and the figures")]
    fn is_judged(&self) {
        let (seed, places) = (from_environment("DAMAGE_SEED", 20_261_120), from_environment("DAMAGES", 4));
        println!("DAMAGE_SEED={seed} DAMAGES={places}");
        bound_memory();
        let mut rng = StdRng::seed_from_u64(seed);
        let durable = &self.store.durable;
        let found = start_on(&self.store, None).expect("an undamaged one starts");
        assert_eq!(found, *durable, "undamaged");
        let (mut refused, mut complete, mut excepted) = (0, 0, 0);
        for file in files_in(&self.store.directory) {
            for damage in self.damages(&file, places, &mut rng) {
                let what = format!("{damage:?} {}", file.display());
                match start_on(&self.store, Some((&file, &damage))) {
                    Err(message) => {
                        says_what_to_do(&message, &what);
                        refused += 1;
                    }
                    Ok(found) if found == *durable => {
                        let unchanged = matches!(damage, Damage::Older(_));
                        assert!(!is_in_snapshot(&file) || unchanged, "{what}: the damage went unnoticed");
                        complete += 1;
                    }
                    Ok(found) => {
                        assert_eq!(file, self.newest, "{what}: {} of {} records", found.len(), durable.len());
                        self.is_a_known_exception(&damage, &found, &what);
                        excepted += 1;
                    }
                }
            }
        }
        println!("{refused} were refused, {complete} found everything, {excepted} are known exceptions");
    }

    fn damages(&self, file: &Path, places: u64, rng: &mut StdRng) -> Vec<Damage> {
        let used = used_bytes(&self.store.directory.join(file));
        let mut damages = vec![Damage::Missing, Damage::Empty, Damage::Directory];
        let older = self.store.home.path().join("older").join(file);
        damages.extend(older.is_file().then_some(Damage::Older(older)));
        if used <= 200 {
            // Every bit, if that many are requested.
            let every = |all: u64| usize::try_from(all / (8 * places.max(1))).unwrap_or(1).max(1);
            let bits = used * 8;
            damages.extend((1..used).step_by(every(used as u64)).map(Damage::Cut));
            let flip = |bit: usize| Damage::Flip(bit / 8, u8::try_from(bit % 8).unwrap_or(0));
            damages.extend((0..bits).step_by(every(bits as u64)).map(flip));
        } else {
            for _ in 0..places {
                damages.push(Damage::Cut(rng.random_range(1..used)));
                damages.push(Damage::Flip(rng.random_range(0..used), rng.random_range(0..8)));
            }
            // The headers.
            let headers = usize::try_from(places.min(64)).unwrap_or(64);
            damages.extend((0..headers).map(|at| Damage::Flip(at, rng.random_range(0..8))));
        }
        damages
    }

    /// A documented exception: the last records of the newest segment are missing, because it was cut, or because its
    /// last frame is damaged and nothing follows.
    fn is_a_known_exception(&self, damage: &Damage, found: &Contents, what: &str) {
        let mut expected = self.store.durable.clone();
        let lost = expected.len() - found.len();
        for subject in self.only_in_newest.iter().rev().take(lost) {
            expected.remove(subject);
        }
        assert_eq!(*found, expected, "{what}: more than the end is lost");
        match damage {
            Damage::Cut(_) | Damage::Empty => {}
            Damage::Flip(..) => assert_eq!(lost, 1, "{what}: only the last frame may be taken for torn"),
            Damage::Missing | Damage::Directory | Damage::Older(_) => {
                panic!("{what}: {lost} are lost unsaid")
            }
        }
    }
}

/// A store with a snapshot, and beside it a copy `older` from an earlier turn.
fn with_a_snapshot() -> StoreClient {
    let mut store = StoreClient::in_a_new_directory();
    for turn in 0..3 {
        store.open().expect("a store");
        // sled keeps such a large leaf in its own file.
        store.writes_durably(0..7, 60);
        store.writes_durably([7], 200_000);
        store.writes_durably(8..100, 60);
        store.kill();
        if turn == 1 {
            copy(&store.directory, &store.home.path().join("older"));
        }
        contents_of(&store.directory).expect("a checkpoint at the end");
    }
    let parts = snapshot_in(&store.directory).len();
    assert!(parts >= 4, "a manifest, and {parts} files of a database in all");
    store.open().expect("a store");
    store
}

fn snapshot_in(directory: &Path) -> Vec<PathBuf> {
    files_in(directory).into_iter().filter(|file| is_in_snapshot(file)).collect()
}

fn is_in_snapshot(path: &Path) -> bool {
    let path = path.to_str().expect("text");
    let number = path.strip_prefix("snapshot/").and_then(|rest| rest.split('/').next());
    number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a path is a segment that the store wrote to.
fn is_used(path: &Path) -> bool {
    is_segment(path)
        // The store may remove it at this moment.
        && std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"owjournl"))
}

/// Starts on a damaged copy, in bounded time.
fn start_on(store: &StoreClient, damage: Option<(&PathBuf, &Damage)>) -> Result<Contents, String> {
    // In memory, if possible: hundreds of starts sync often, and this test is not about that.
    let memory = Path::new("/dev/shm");
    let target =
        tempfile::tempdir_in(if memory.is_dir() { memory } else { store.home.path() }).expect("a directory");
    let data = target.path().join("data");
    copy(&store.directory, &data);
    if let Some((file, damage)) = damage {
        damage.does_to(&data.join(file));
    }
    let (sender, ended) = channel();
    let started = data.clone();
    std::thread::spawn(move || sender.send(contents_of(&started)));
    let result = ended.recv_timeout(PATIENCE);
    let result = result.unwrap_or_else(|_| panic!("{damage:?}: no end within {PATIENCE:?}"));
    if let Err(message) = &result {
        assert!(message.contains(&*data.to_string_lossy()), "{damage:?}: which file? {message}");
    }
    result
}

fn says_what_to_do(message: &str, what: &str) {
    let system = message.contains("Is a directory") || message.contains("Not a directory");
    let advice = system || ADVICE.iter().any(|words| message.contains(words));
    assert!(advice, "{what}: what to do? {message}");
    for word in ["panicked", "backtrace", "unwrap"] {
        assert!(!message.contains(word), "{what}: {message}");
    }
}

/// Limits this process to little more memory than it has.
fn bound_memory() {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("this process");
    let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("its size");
    let size = pages * rustix::param::page_size() as u64;
    let limit = Rlimit { current: Some(size + MEMORY), ..getrlimit(Resource::As) };
    setrlimit(Resource::As, limit).expect("a limit of memory");
}

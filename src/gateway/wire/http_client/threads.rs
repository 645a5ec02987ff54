//! The threads on which providers are listened to, apart from those that serve this program's clients.
//!
//! The HTTP library reads as long as there is something to read. A provider that sends interim answers
//! (`100 Continue`) as fast as the line takes them keeps it for half a second without a pause, and a system
//! resolver that hangs keeps a thread for as long as it likes. Here both take time from other sends only: no
//! check, no commit and no time limit ever waits for one of these threads.

use std::io;
use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

/// Names that are looked up at once. The system's resolver blocks a thread each; further look-ups wait, and
/// end with the connect time-out.
const LOOK_UPS: usize = 32;

/// One set of threads for all gateways of the process, from the first use to its end: nobody has to decide
/// who stops it, and a program that embeds the library may make and drop as many apps as it likes.
static THREADS: LazyLock<io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.thread_name("gateways").max_blocking_threads(LOOK_UPS).enable_all().build()
});

/// The threads, or why the system gives none.
pub(super) fn handle() -> Result<Handle, String> {
    THREADS.as_ref().map(|runtime| runtime.handle().clone()).map_err(ToString::to_string)
}

/// Runs this on those threads, until it ends or until nobody waits for it any more. `None` when it
/// panicked.
pub(super) async fn run_on<T: Send + 'static>(
    threads: &Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    // A set ends its tasks when it is dropped.
    let mut one = JoinSet::new();
    one.spawn_on(future, threads);
    one.join_next().await?.ok()
}

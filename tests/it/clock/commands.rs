//! Commands on a data directory while the clock is wrong.

use std::collections::BTreeSet;

use super::{Down, HOUR, Wrong};
use crate::support::{export, import, parsed, records, replace_data};

#[tokio::test]
async fn an_export_without_a_server_while_the_clock_is_ahead_has_everything() {
    let down = Wrong::new().await.stopped().await;
    down.clock.by(2 * HOUR);
    let lines = export(&down.setup, "ahead.jsonl").await;
    let checked = down.setup.command(["check-data", "--json"]).await;
    down.clock.by(0);
    assert!(records(&lines).iter().any(|line| line.contains(&down.locked)), "{lines:?}");
    let counts = parsed(checked.output.trim());
    assert_eq!((&counts["numbers"], &counts["sends"]), (&1.into(), &1.into()), "{counts}");
    down.moved("ahead.jsonl").await.start().await.is_locked_for(30).await;
}

#[tokio::test]
async fn an_export_of_a_directory_whose_time_is_ahead_prolongs_nothing() {
    let wrong = Wrong::ahead_by(24 * HOUR).await;
    wrong.clock.by(0);
    let wrong = wrong.stopped().await.start().await;
    wrong.is_locked_for(30).await;
    let through_server = export(&wrong.world.setup, "served.jsonl").await;
    let down = wrong.stopped().await;
    let without = export(&down.setup, "alone.jsonl").await;
    // The guard's allowances refill meanwhile.
    let is_lasting = |record: &&String| !record.contains("\"guard records\"");
    let lasting = [&through_server, &without]
        .map(|export| records(export).iter().filter(is_lasting).cloned().collect::<BTreeSet<_>>());
    assert_eq!(lasting[0], lasting[1]);
    let wrong = down.moved("served.jsonl").await.start().await;
    wrong.is_locked_for(30).await;
    let down = wrong.stopped().await;
    down.moved("alone.jsonl").await.start().await.is_locked_for(30).await;
}

impl Down {
    /// Replaces the data directory by an import of this export.
    async fn moved(self, export: &str) -> Self {
        import(&self.setup, export, "new").await.exits(0);
        replace_data(&self.setup, "new");
        self
    }
}

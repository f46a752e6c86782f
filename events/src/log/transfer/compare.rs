//! Whether two logs hold the same, stream by stream. The chain at a version stands for all that led there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Ends, Side, TransferError, TransferGauge, TransferPhase, ends_of, pages, places};
use crate::{
    log::{EventLog, LogError, StoredCommit, VerifyReport},
    stream::{Offset, StreamId, Version},
};

/// How long a target may take to write down what it has judged.
const WRITING_MAX: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Checks that every stream of the target is the beginning of one of the source; gives whether there is any.
pub(super) async fn only_beginnings(
    source: &dyn EventLog,
    target: &dyn EventLog,
    gauge: &TransferGauge,
) -> Result<bool, TransferError> {
    let ends = ends_of(target, Side::Target)?;
    gauge.begin(TransferPhase::Comparing, places(&ends));
    let mut holds_some = false;
    for (partition, end) in &ends {
        pages(target, Side::Target, *partition, *end, async |page, places| {
            for commit in page.iter().filter(|commit| commit.first_version == 1) {
                holds_some = true;
                is_beginning(source, target, commit.stream)?;
            }
            gauge.pass(places);
            Ok(())
        })
        .await?;
    }
    Ok(holds_some)
}

/// The stream as the target holds it ends like the source's at the same version.
fn is_beginning(source: &dyn EventLog, target: &dyn EventLog, stream: StreamId) -> Result<(), TransferError> {
    let version = target.head(stream).map_err(Side::Target.failed())?;
    let held = ending_at(target, Side::Target, stream, version)?;
    if source.head(stream).map_err(Side::Source.failed())? == 0 {
        return Err(TransferError::ForeignStream { stream });
    }
    match (held, ending_at(source, Side::Source, stream, version)?) {
        (Some(held), Some(original)) if held.chain == original.chain => Ok(()),
        _ => Err(TransferError::OtherContent { stream, version }),
    }
}

/// The commit that ends at this version, if one does.
fn ending_at(
    log: &dyn EventLog,
    side: Side,
    stream: StreamId,
    version: Version,
) -> Result<Option<StoredCommit>, TransferError> {
    let found = log.load(stream, version.saturating_sub(1), 1).map_err(side.failed())?;
    Ok(found.into_iter().next().filter(|commit| commit.last_version() == version))
}

/// The target holds this very commit, with this very history.
pub(super) fn same_at(target: &dyn EventLog, commit: &StoredCommit) -> Result<(), TransferError> {
    let (stream, version) = (commit.stream, commit.last_version());
    match ending_at(target, Side::Target, stream, version)? {
        Some(held) if held.chain == commit.chain => Ok(()),
        Some(_) | None => Err(TransferError::OtherContent { stream, version }),
    }
}

/// Checks that every stream of the source has, up to the ends, the same head and the same chain in the target; counts them.
pub(super) async fn same_streams(
    source: &dyn EventLog,
    target: &dyn EventLog,
    ends: &Ends,
    gauge: &TransferGauge,
) -> Result<VerifyReport, TransferError> {
    gauge.begin(TransferPhase::Checking, places(ends));
    let mut found = VerifyReport::default();
    for (partition, end) in ends {
        pages(source, Side::Source, *partition, *end, async |page, places| {
            for commit in &page {
                found.commits += 1;
                found.events += u64::from(commit.count);
                if commit.first_version == 1 {
                    found.streams += 1;
                    same_stream(source, target, commit.stream, *end)?;
                }
            }
            gauge.pass(places);
            Ok(())
        })
        .await?;
    }
    Ok(found)
}

/// The target holds all commits of the stream up to the end, and nothing else.
fn same_stream(
    source: &dyn EventLog,
    target: &dyn EventLog,
    stream: StreamId,
    end: Offset,
) -> Result<(), TransferError> {
    let version = target.head(stream).map_err(Side::Target.failed())?;
    let held = ending_at(target, Side::Target, stream, version)?;
    let originals = source.load(stream, version.saturating_sub(1), 2).map_err(Side::Source.failed())?;
    let same = match (held, originals.as_slice()) {
        (Some(held), [original, rest @ ..]) => {
            held.chain == original.chain
                && original.last_version() == version
                && original.position.offset <= end
                && rest.iter().all(|next| next.position.offset > end)
        }
        (Some(_), []) | (None, _) => false,
    };
    if same { Ok(()) } else { Err(TransferError::OtherContent { stream, version }) }
}

/// Walks the target's chains, and checks that it holds no more than was found in the source.
pub(super) async fn same_counts(
    target: &Arc<dyn EventLog>,
    wanted: &VerifyReport,
) -> Result<(), TransferError> {
    let begun = Instant::now();
    loop {
        let walked = Arc::clone(target);
        let held = tokio::task::spawn_blocking(move || walked.verify()).await;
        let held = held.unwrap_or_else(|e| Err(LogError::File(format!("the walk broke off: {e}"))));
        let held = held.map_err(Side::Target.failed())?;
        if held == *wanted {
            return Ok(());
        }
        // An engine may answer before the walk finds all of it in the file.
        if held.commits > wanted.commits || begun.elapsed() > WRITING_MAX {
            let words = |r: &VerifyReport| {
                format!("{} streams, {} commits, {} events", r.streams, r.commits, r.events)
            };
            return Err(TransferError::OtherCounts { held: words(&held), wanted: words(wanted) });
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

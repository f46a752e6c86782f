//! `guildhall restore`: a log is made of a backup, with keys from a place that is named, and whoever was erased stays erased.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use commands::{
    Actor, CommandError, Executor, ExecutorSettings, Request,
    account::{Account, AccountCommand},
};
use events::{
    ids::{AccountId, CommandId},
    keys::{KeyRecord, KeyRing},
    log::{
        LogOptions,
        backup::{BackupError, LogKind, Manifest, People, Restoration, Restored, read_manifest},
    },
    time::DomainClock,
};

use super::{
    Failure,
    backup::{carried_out, described, open_copy},
    print, runtime,
};
use crate::{
    house::{OpenError, set_clock},
    http::RequestContext,
    settings::Settings,
};

/// Records of keys that are looked through at once.
const PAGE: usize = 1000;
/// How long the last erasure may take to be answered.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// What is restored, with which keys, and to where.
#[derive(Debug, Args)]
#[command(after_help = "\
The data folder must be empty, or one in which a restore broke off: then it begins anew. Every commit is judged again, every
chain linked again and walked at the end. Nobody sees the log before it is whole.

Take the newest keys there are, those of the data folder that was lost if it can still be read: whoever was erased stays
erased, whatever the age of the log. Keys that are older than the log are refused; of older ones that will do, those of
people whom the log knows to be erased are erased again.

An embedded log goes on from here with an id of its own, since its history is another one from here on: read models are built
anew at the next start, clients get 400 for consistency tokens of before and leave them out. Serve the old one never again.

A backup of a node on Kafka is restored as a node's folder: the topics are the log, and the node reads on from there. Where
the topics are lost, guildhall log copy makes a new log of that folder. docs/backup.md is the runbook.

Examples:
  On an empty machine:
    guildhall restore --from /backup/log --keys /vault/keys
    guildhall

  An older log with today's keys:
    guildhall restore --from /backup/last-week --keys ./data-lost --data ./data")]
pub(super) struct RestoreBackup {
    /// The folder of the log's backup.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    /// The folder of the keys: a backup of them, or a data folder.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// The data folder to restore into; without it, that of the settings.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What became of the people on the log.
struct Erased {
    /// Sealed values whose keys are there, or erased.
    values: u64,
    /// People whose keys were there although the log knows that they were erased.
    keys: u64,
    /// Accounts that were erased after the log ends.
    accounts: u64,
}

/// Restores and says what there is now.
pub(super) fn run(settings: &Settings, asked: &RestoreBackup) -> Result<(), Failure> {
    let data = asked.data.clone().unwrap_or_else(|| settings.data.clone());
    let manifest = read_manifest(&asked.from)?;
    fits(settings, &manifest)?;
    let restoration = Restoration::begin(&data)?;
    let keys = open_copy(settings, &asked.keys, &restoration.keys())?;
    belong(&keys, &manifest)?;
    let (restoration, restored, erased) = restored(settings, asked, restoration, &manifest, keys)?;
    restoration.finish()?;
    let Restored { log, found } = restored;
    let mut told = format!(
        "ok: {} of {} is restored in {}\n{} streams, {} commits, {} events; every chain holds\n\
         {} sealed values have their keys, or are of people who were erased\n",
        described(&manifest),
        manifest.taken_at,
        data.display(),
        found.streams,
        found.commits,
        found.events,
        erased.values,
    );
    if erased.keys > 0 {
        told.push_str(&format!("the keys of {} people were erased again, as the log says\n", erased.keys));
    }
    if erased.accounts > 0 {
        told.push_str(&format!("{} accounts were erased again, as the keys say\n", erased.accounts));
    }
    told.push_str(&match manifest.kind {
        LogKind::Embedded => {
            format!("it is the log {log} from here on; read models are built anew at the next start\n")
        }
        LogKind::NodeCopy => "start the node on it: it reads on from the topics\n".to_owned(),
    });
    print(&told)
}

/// Whether what is restored can be served with these settings.
fn fits(settings: &Settings, manifest: &Manifest) -> Result<(), Failure> {
    let refused = match (manifest.kind, settings.log.is_shared()) {
        (LogKind::Embedded, false) | (LogKind::NodeCopy, true) => return Ok(()),
        (LogKind::Embedded, true) => {
            "this is a backup of an embedded log, and the settings put the log on Kafka. A backup cannot be put into topics: \
             restore it with log.url = embedded (GUILDHALL_LOG__URL=embedded), then guildhall log copy --to kafka://… makes \
             a new log of it there"
        }
        (LogKind::NodeCopy, false) => {
            "this is a backup of a node's copy of a log on Kafka, and its topics are the log. Set log.url (GUILDHALL_LOG__URL) \
             to kafka://HOST:PORT, and it is restored as a node's folder. Where the topics are lost, guildhall log copy \
             --from embedded --from-folder DIR makes a new log of that folder, embedded or on Kafka"
        }
    };
    Err(Failure::Usage(refused.into()))
}

/// The keys are of the same kind of house.
fn belong(keys: &KeyRing, manifest: &Manifest) -> Result<(), Failure> {
    let follows = keys.follows().map_err(OpenError::from)?;
    match (manifest.kind, follows) {
        (LogKind::Embedded, None) => Ok(()),
        (LogKind::NodeCopy, Some(log)) if log == manifest.log => Ok(()),
        (LogKind::Embedded, Some(log)) => Err(Failure::Error(format!(
            "the keys are those of a node of the log {log} on Kafka, and the log is an embedded one"
        ))),
        (LogKind::NodeCopy, Some(log)) => {
            Err(Failure::Error(format!("the keys are those of the log {log}, and this is {}", manifest.log)))
        }
        (LogKind::NodeCopy, None) => Err(Failure::Error(
            "the keys are those of an embedded log, and the log is a node's copy of one on Kafka".into(),
        )),
    }
}

fn restored(
    settings: &Settings,
    asked: &RestoreBackup,
    restoration: Restoration,
    manifest: &Manifest,
    keys: KeyRing,
) -> Result<(Restoration, Restored, Erased), Failure> {
    let keys = Arc::new(keys);
    let (from, of_log, whole) = (asked.from.clone(), Arc::clone(&keys), manifest.clone());
    let (restoration, restored, values, again) =
        carried_out(settings, "restoring", "run it again: it begins anew", async |gauge| {
            tokio::task::spawn_blocking(move || {
                let mut people = People::new(&of_log);
                let restored = restoration.restore_log(&from, &whole, &mut people, &gauge)?;
                people.have_their_keys()?;
                let again = of_log.erase_in_copy(&people.erased)?;
                Ok::<_, BackupError>((restoration, restored, people.values, again))
            })
            .await
        })?;
    let accounts = match manifest.kind {
        LogKind::Embedded => runtime()?.block_on(erase_again(settings, restoration.folder(), &keys))?,
        // The erasure is on the topics.
        LogKind::NodeCopy => 0,
    };
    Ok((restoration, restored, Erased { values, keys: again, accounts }))
}

/// Whoever the keys know to be erased, and the log does not, was erased after the log ends: their accounts are erased again.
async fn erase_again(settings: &Settings, folder: &Path, keys: &KeyRing) -> Result<u64, Failure> {
    let log = events::open(&LogOptions::embedded(folder)).map_err(OpenError::Log)?;
    let clock = DomainClock::new();
    let policy = Arc::new(settings.policy.clone());
    let executor =
        Executor::start(Arc::clone(&log), policy, clock.clone(), None, ExecutorSettings::default());
    set_clock(settings, &executor, &clock).await?;
    let context = RequestContext::of_command_line("restore");
    let (mut erased, mut after) = (0, 0);
    loop {
        let page = keys.records_after(after, PAGE).map_err(OpenError::from)?;
        let Some(last) = page.last() else { break };
        after = last.number;
        for numbered in page {
            let KeyRecord::Erased { subject } = numbered.record else { continue };
            erased += u64::from(erase(&executor, keys, &context, subject).await?);
        }
    }
    executor.close(CLOSE_WAIT).await;
    drop(executor);
    let closed = tokio::task::spawn_blocking(move || log.close()).await;
    closed.map_err(|error| Failure::Error(format!("closing the log broke off: {error}")))?;
    Ok(erased)
}

/// Whether the person's account was there and is erased now.
async fn erase(
    executor: &Executor,
    keys: &KeyRing,
    context: &RequestContext,
    person: AccountId,
) -> Result<bool, Failure> {
    let failed = |error: String| Failure::Error(format!("{person} was erased, and cannot be again: {error}"));
    let loaded = executor.load::<Account>(person).await.map_err(|error| failed(error.to_string()))?;
    if !loaded.state.is_registered() {
        return Ok(false);
    }
    let request = Request {
        id: person,
        command: AccountCommand::Erase,
        command_id: CommandId::fresh(),
        command_hash: keys.command_hash(&context.operation, person.to_string().as_bytes()),
        actor: Actor::System,
        expected: None,
        correlation_id: context.correlation_id.clone(),
        causation_id: None,
        traceparent: Some(context.traceparent.clone()),
    };
    match executor.execute::<Account>(request).await {
        Ok(_) => Ok(true),
        Err(CommandError::Rejected(rejection)) => Err(failed(rejection.to_string())),
        Err(CommandError::Conflict(conflict)) => Err(failed(conflict.to_string())),
        Err(CommandError::Outage(outage)) => Err(failed(outage.to_string())),
    }
}

//! `guildhall log copy`: a log into another, from any engine to any other, with the keys of personal data.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use events::{
    keys::{self, KeyError, KeyRing, MasterKey},
    log::{
        EventLog, FolderLock, LogError, LogOptions, lock_folder,
        transfer::{
            KeysTransferred, TransferError, TransferGauge, TransferOptions, TransferPhase, TransferReport,
            transfer, transfer_keys,
        },
    },
};
use secrecy::ExposeSecret as _;

use super::{Failure, prepared, print, progress::shown};
use crate::{server, settings::Settings};

/// From where, and to where.
#[derive(Debug, Args)]
#[command(after_help = "\
The target must be empty, or hold nothing but an earlier copy: then only what is missing goes over. A copy that breaks
off, for whatever reason, is taken up by running it again. At the end every stream is compared: same head, same hash
chain. The copy is a log of its own, with an id of its own: read models are built anew, consistency tokens of the old
log are refused. What the clients of Kafka need (log.kafka.properties) is taken from the settings, for both sides.

Examples:
  One machine has become too small; the server is stopped:
    guildhall log copy --to kafka://kafka-1:9092,kafka-2:9092 --to-folder ./data-kafka

  The same with a short pause: most of it while the server runs, the rest when it has stopped:
    guildhall log copy --to kafka://kafka-1:9092 --to-folder ./data-kafka --while-running
    guildhall log copy --to kafka://kafka-1:9092 --to-folder ./data-kafka

  Back to one machine, from the copy that a stopped node has in ./data-kafka:
    guildhall log copy --from kafka://kafka-1:9092 --from-folder ./data-kafka --to embedded --to-folder ./data

  The topics are lost or damaged, and a node's folder is all there is:
    guildhall log copy --from embedded --from-folder ./data-kafka --to kafka://kafka-1:9092 --to-prefix guildhall2 \\
      --to-folder ./data-kafka-2")]
pub(super) struct CopyLog {
    /// The log to copy: kafka://HOST:PORT[,HOST:PORT…], or embedded for what lies in the folder, be it a log or a node's copy
    /// of one. Without it, that of the settings.
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// The folder of its files and keys. Without it, that of the settings.
    #[arg(long, value_name = "DIR")]
    from_folder: Option<PathBuf>,
    /// The first word of its topics. Without it, that of the settings.
    #[arg(long, value_name = "PREFIX")]
    from_prefix: Option<String>,
    /// The log to copy it into.
    #[arg(long, value_name = "URL")]
    to: String,
    /// The folder for its files and keys; made when it is not there.
    #[arg(long, value_name = "DIR")]
    to_folder: PathBuf,
    /// The first word of its topics. Without it, that of the settings.
    #[arg(long, value_name = "PREFIX")]
    to_prefix: Option<String>,
    /// Partitions of each topic that is made. Without it, that of the settings. A log keeps its number for ever.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    to_partitions: Option<u16>,
    /// Copy although the source is being written, up to where it stands now. Stop its writers and run it again to finish.
    #[arg(long)]
    while_running: bool,
}

/// Copies keys, log, and keys again, and says what both sides hold.
pub(super) fn copy(settings: Settings, asked: &CopyLog) -> Result<(), Failure> {
    let (from, to) = (asked.source(&settings), asked.target(&settings));
    if std::path::absolute(&from.folder).ok() == std::path::absolute(&to.folder).ok() {
        return Err(Failure::Usage("each of the two logs needs a folder of its own".into()));
    }
    let runtime = prepared(&settings)?;
    let copied = runtime.block_on(async {
        let stop = server::stop_signal().map_err(|error| Failure::Error(error.to_string()))?;
        tokio::select! {
            done = asked.carry_out(&settings, &from, &to) => done,
            () = stop => Err(Failure::Interrupted(
                "interrupted; what went over stays, and running it again takes it up".into(),
            )),
        }
    });
    // A walk over all chains that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    copied
}

impl CopyLog {
    fn source(&self, settings: &Settings) -> LogOptions {
        let mut options = settings.log.options(self.from_folder.as_ref().unwrap_or(&settings.data));
        options.url = self.from.clone().unwrap_or(options.url);
        options.kafka.topic_prefix = self.from_prefix.clone().unwrap_or(options.kafka.topic_prefix);
        options
    }

    fn target(&self, settings: &Settings) -> LogOptions {
        let mut options = settings.log.options(&self.to_folder);
        options.url.clone_from(&self.to);
        options.kafka.topic_prefix = self.to_prefix.clone().unwrap_or(options.kafka.topic_prefix);
        options.kafka.partitions = self.to_partitions.unwrap_or(options.kafka.partitions);
        options
    }

    async fn carry_out(
        &self,
        settings: &Settings,
        from: &LogOptions,
        to: &LogOptions,
    ) -> Result<(), Failure> {
        let (source, _still) = self.open_source(from)?;
        let target = events::open(to).map_err(|error| named(to, error))?;
        let keys = [open_keys(settings, from, &source, true)?, open_keys(settings, to, &target, false)?];
        // Before the commits, so that no value arrives without its key, and behind them for those made meanwhile.
        copy_keys(&keys).await?;
        let report = watched(&source, &target).await?;
        let known = copy_keys(&keys).await?;
        for log in [target, source] {
            let closed = tokio::task::spawn_blocking(move || log.close()).await;
            closed.map_err(|error| Failure::Error(format!("closing a log broke off: {error}")))?;
        }
        let TransferReport { streams, commits, events, appended, .. } = report;
        print(&format!(
            "ok: {streams} streams, {commits} commits, {events} events; both hold the same, every chain holds\n\
             {appended} commits went over now, {} were there already; {} keys, {} people stay erased\n\
             log {} was copied, log {} is the copy\n",
            commits - appended,
            known.keys,
            known.erased,
            report.source,
            report.target,
        ))?;
        if !report.grown {
            return Ok(());
        }
        let grown = "the source was written meanwhile: stop what writes it and run this again for the rest";
        if self.while_running {
            tracing::warn!("{grown}");
            return Ok(());
        }
        Err(Failure::Error(grown.into()))
    }

    /// The source. What lies in a folder is only read, so it may be a node's copy of topics that are no more; nobody may
    /// begin to write it meanwhile, unless that was asked for.
    fn open_source(&self, options: &LogOptions) -> Result<(Arc<dyn EventLog>, Option<FolderLock>), Failure> {
        let failed = |error| named(options, error);
        if options.url != "embedded" {
            return Ok((events::open(options).map_err(failed)?, None));
        }
        if !options.folder.join("log.db").exists() {
            return Err(Failure::Error(format!("there is no log in {}", options.folder.display())));
        }
        let still = match lock_folder(&options.folder) {
            Err(LogError::Locked) if self.while_running => {
                tracing::info!("a server has the source: it is copied up to where it stands now");
                None
            }
            locked => Some(locked.map_err(failed)?),
        };
        let reading = LogOptions { read_only: true, ..options.clone() };
        Ok((events::open(&reading).map_err(failed)?, still))
    }
}

fn named(options: &LogOptions, error: LogError) -> Failure {
    let folder = options.folder.display();
    match error {
        LogError::Locked => Failure::Error(format!(
            "the folder {folder} is in use by another process: stop that one first, or pass --while-running to copy what \
             an embedded log holds by now"
        )),
        error => Failure::Error(format!("{} in {folder}: {error}", options.url)),
    }
}

/// The keys that belong to a log. Of what lies in a folder only the file is read, whatever topic it may have followed.
fn open_keys(
    settings: &Settings,
    options: &LogOptions,
    log: &Arc<dyn EventLog>,
    only_read: bool,
) -> Result<KeyRing, Failure> {
    let path = options.folder.join("keys.db");
    let master = MasterKey::from_hex(settings.secrets.master_key.expose_secret());
    let opened = master.and_then(|master| {
        if only_read && options.url == "embedded" {
            return KeyRing::open_copy(&path, &master);
        }
        keys::open(&path, &master, log.id(), options)
    });
    opened.map_err(|error| keys_failed(options, &error))
}

fn keys_failed(options: &LogOptions, error: &KeyError) -> Failure {
    let words = format!("the keys in {}: {error}", options.folder.display());
    match error {
        KeyError::Away(_) => Failure::Unreachable(words),
        KeyError::Erased
        | KeyError::Damaged(_)
        | KeyError::File(_)
        | KeyError::WrongMasterKey
        | KeyError::InvalidMasterKey
        | KeyError::Refused(_) => Failure::Error(words),
    }
}

/// How long the keys' topic may take to show what it holds.
const KEYS_WAIT: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Takes the keys over, once both sides know what their topics hold.
async fn copy_keys(keys: &[KeyRing; 2]) -> Result<KeysTransferred, Failure> {
    let deadline = tokio::time::Instant::now() + KEYS_WAIT;
    for ring in keys {
        loop {
            let status = ring.status();
            if let Some(reason) = status.stopped {
                return Err(Failure::Error(format!("the topic of keys: {reason}")));
            }
            if status.away.is_none() && status.behind == 0 {
                break;
            }
            if tokio::time::Instant::now() >= deadline {
                let reason = status.away.unwrap_or_else(|| format!("{} records are missing", status.behind));
                return Err(Failure::Unreachable(format!("the topic of keys: {reason}")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    tokio::task::block_in_place(|| transfer_keys(&keys[0], &keys[1]))
        .map_err(|error| crate::house::OpenError::from(error).into())
}

/// The transfer, with progress on a terminal.
async fn watched(source: &Arc<dyn EventLog>, target: &Arc<dyn EventLog>) -> Result<TransferReport, Failure> {
    let gauge = Arc::new(TransferGauge::default());
    let watched = Arc::clone(&gauge);
    let read = move || {
        let (phase, passed, total) = watched.read();
        (words(phase), passed, total)
    };
    let done = shown(read, transfer(source, target, &TransferOptions::default(), &gauge)).await;
    done.map_err(|error| match error {
        TransferError::Away { .. } => Failure::Unreachable(error.to_string()),
        error => Failure::Error(error.to_string()),
    })
}

fn words(phase: TransferPhase) -> &'static str {
    match phase {
        TransferPhase::CatchingUp => "reading what the cluster holds",
        TransferPhase::Comparing => "comparing what is there",
        TransferPhase::Copying => "copying",
        TransferPhase::Checking => "comparing every stream",
        TransferPhase::Verifying => "walking the copy's chains",
    }
}

//! The copy's writer: takes what was judged and writes it behind the answers, with the upstream's offsets, in one transaction
//! a batch.
//!
//! A process that dies loses what is not written yet, and nothing else: the copy's offsets say where to go on, and the same
//! records are judged again with the same verdicts.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    LogError,
    copy::{Checkpointer, CopyWriter},
    progress::Progress,
    unwritten::{Batch, Unwritten},
};

/// Commits of one transaction.
const COMMITS_MAX: usize = 10_000;
/// How long commits gather when the transaction before them ended just now.
const GATHER: Duration = Duration::from_millis(5);
/// How long they gather while there are many: a transaction costs what its pages cost, and many commits share them.
const GATHER_MANY: Duration = Duration::from_millis(20);
/// So many commits of a transaction are many.
const MANY: usize = 32;

/// Writes one copy. One thread, one transaction at a time.
pub(super) struct WriteBehind {
    copy: CopyWriter,
    checkpointer: Checkpointer,
    unwritten: Arc<Unwritten>,
    progress: Arc<Progress>,
}

impl WriteBehind {
    /// Writes what `unwritten` gets to the copy in `folder`.
    pub(super) fn new(
        folder: &Path,
        wal_bytes_max: u64,
        mut copy: CopyWriter,
        unwritten: Arc<Unwritten>,
        progress: Arc<Progress>,
    ) -> Result<Self, LogError> {
        let checkpointer = Checkpointer::start(folder, &mut copy, wal_bytes_max)?;
        Ok(Self { copy, checkpointer, unwritten, progress })
    }

    /// Writes until nothing more will come, or the file fails.
    pub(super) fn run(mut self) {
        let _unwinding =
            FailOnPanic { unwritten: Arc::clone(&self.unwritten), progress: Arc::clone(&self.progress) };
        let mut due = Instant::now();
        while let Some(batch) = self.unwritten.take(COMMITS_MAX, due) {
            if let Err(error) = self.write(&batch) {
                return self.fail(error);
            }
            due = Instant::now() + if batch.commits.len() < MANY { GATHER } else { GATHER_MANY };
        }
        self.finish();
    }

    /// Writes what there is now; gives how many commits that was.
    #[cfg(feature = "simulation")]
    pub(super) fn step(&mut self) -> Result<usize, LogError> {
        let Some(batch) = self.unwritten.take_now(COMMITS_MAX) else { return Ok(0) };
        self.write(&batch)?;
        Ok(batch.commits.len())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), LogError> {
        self.copy.begin()?;
        self.copy.add_judged(&batch.commits)?;
        for (_, partition, offset) in &batch.source {
            self.copy.set_source(*partition, *offset)?;
        }
        self.copy.commit()?;
        self.unwritten.written(batch);
        if !batch.commits.is_empty() {
            self.progress.ring();
        }
        self.checkpointer.between_batches(&mut self.copy)
    }

    /// Ends the writer for good. The tail finds out, and stops; what was judged is still read from memory.
    pub(super) fn fail(self, error: LogError) {
        tracing::error!(%error, "the copy of the log cannot be written any more");
        self.progress.stop(&format!("the copy stopped: {error}"));
        self.unwritten.fail(error);
    }

    fn finish(self) {
        let Self { mut copy, checkpointer, .. } = self;
        if let Err(error) = checkpointer.finish(&mut copy) {
            tracing::error!(%error, "the copy was closed without a last checkpoint");
        }
    }
}

/// A writer that panics must not leave the tail waiting for it.
struct FailOnPanic {
    unwritten: Arc<Unwritten>,
    progress: Arc<Progress>,
}

impl Drop for FailOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let reason = "the copy's writer panicked";
            self.progress.stop(reason);
            self.unwritten.fail(LogError::File(reason.into()));
        }
    }
}

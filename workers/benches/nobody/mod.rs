//! Process managers that have nothing to do with anything.

use commands::process::ProcessError;
use events::RecordedEvent;
use workers::{Processes, processes::ProcessFuture};

/// Process managers are not measured where these stand for them.
#[derive(Debug)]
pub struct Nobody;

impl Processes for Nobody {
    fn react<'a>(&'a self, _: &'a RecordedEvent) -> ProcessFuture<'a> {
        Box::pin(async { Ok::<(), ProcessError>(()) })
    }
    fn dispatch<'a>(&'a self, _: &'a projections::steps::OpenStep) -> ProcessFuture<'a> {
        Box::pin(async { Ok::<(), ProcessError>(()) })
    }
    fn fire<'a>(&'a self, _: &'a projections::timers::Timer) -> ProcessFuture<'a> {
        Box::pin(async { Ok::<(), ProcessError>(()) })
    }
}

//! The dispatcher: issues the steps that process managers have asked for.

use std::{collections::HashMap, sync::Arc, time::Duration};

use commands::process::ProcessError;
use events::StreamId;
use projections::{
    ReadStore, StoreError,
    steps::{self, OpenStep},
};

use super::{Processes, Share, pump::Work};
use crate::builds::prepare_live;

/// The open steps of the read model `steps`.
#[derive(Clone)]
pub(crate) struct Steps {
    pub(crate) store: Arc<dyn ReadStore>,
    pub(crate) processes: Arc<dyn Processes>,
    pub(crate) share: Share,
}

impl Work for Steps {
    type Key = (StreamId, u32);
    type Item = OpenStep;
    const KIND: &'static str = "step";

    async fn prepare(&self) -> Result<(), StoreError> {
        prepare_live(self.store.as_ref(), &steps::Steps).await
    }

    /// The last open step of every manager: issuing it carries out those before it too.
    async fn list(&self, limit: usize) -> Result<Vec<(Self::Key, OpenStep)>, StoreError> {
        let page = |page| steps::open(self.store.as_ref(), page);
        let listed = self.share.of_listed(limit, |step: &OpenStep| step.stream, page).await?;
        let mut places: HashMap<StreamId, usize> = HashMap::new();
        let mut steps = Vec::<OpenStep>::new();
        for step in listed {
            let place = *places.entry(step.stream).or_insert(steps.len());
            match steps.get_mut(place) {
                None => steps.push(step),
                Some(known) if known.number < step.number => *known = step,
                Some(_) => {}
            }
        }
        Ok(steps.into_iter().map(|step| ((step.stream, step.number), step)).collect())
    }

    async fn idle(&self) -> Result<Option<Duration>, StoreError> {
        Ok(None)
    }

    async fn issue(&self, step: OpenStep) -> Result<(), ProcessError> {
        self.processes.dispatch(&step).await
    }
}

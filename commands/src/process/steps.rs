//! The steps a process manager has asked for, and what became of them.

use events::vocabulary::StepOutcome;
use serde::{Deserialize, Serialize};

/// All steps of one run; the first is number 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Steps<S> {
    asked: Vec<(S, StepState)>,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepState {
    /// No answer yet.
    Open,
    /// The command was accepted, or had nothing left to do.
    Done,
    /// The rules said no.
    Refused,
}

impl<S> Default for Steps<S> {
    fn default() -> Self {
        Self { asked: Vec::new() }
    }
}

impl<S: Copy + PartialEq> Steps<S> {
    /// The number of the step that would be asked for next.
    pub(crate) fn next_number(&self) -> u32 {
        // A manager asks for a handful of steps in its life.
        u32::try_from(self.asked.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Folds a request. A number out of turn is none that this manager ever wrote.
    pub(crate) fn request(&mut self, number: u32, step: S) {
        if number == self.next_number() {
            self.asked.push((step, StepState::Open));
        }
    }

    /// Folds an outcome.
    pub(crate) fn settle(&mut self, number: u32, outcome: &StepOutcome) {
        let index = (number as usize).checked_sub(1);
        if let Some((_, state)) = index.and_then(|index| self.asked.get_mut(index)) {
            *state = match outcome {
                StepOutcome::Done => StepState::Done,
                StepOutcome::Refused { .. } => StepState::Refused,
            };
        }
    }

    /// The step with this number, while it is open.
    pub(crate) fn open(&self, number: u32) -> Option<S> {
        let index = (number as usize).checked_sub(1)?;
        self.asked.get(index).filter(|(_, state)| *state == StepState::Open).map(|(step, _)| *step)
    }

    /// The lowest number that is open.
    pub(crate) fn first_open(&self) -> Option<u32> {
        (1..).zip(&self.asked).find(|(_, (_, state))| *state == StepState::Open).map(|(number, _)| number)
    }

    /// The lowest number that is open, when it comes before this one: where steps are carried out one after the other, it is first.
    pub(crate) fn open_before(&self, number: u32) -> Option<u32> {
        self.first_open().filter(|first| *first < number)
    }

    /// What became of the first step that is like this; `None` when none was asked for.
    pub(crate) fn find(&self, is: impl Fn(S) -> bool) -> Option<(S, StepState)> {
        self.asked.iter().copied().find(|(step, _)| is(*step))
    }

    /// All steps with their states, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (S, StepState)> {
        self.asked.iter().copied()
    }
}

//! What the merchant is told: one event per outcome, its bytes fixed when it happens.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use serde::Serialize;

use super::{
    Unfit,
    page::{Dated, Page, Span, page},
};
use crate::{time::Time, tokens::Telling};

/// An event, and how far its delivery got.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: &'static str,
    pub(crate) at: Time,
    pub(crate) telling: Telling,
    /// The webhook's body, the same bytes at every attempt.
    pub(crate) body: Arc<[u8]>,
    pub(crate) delivery: Delivery,
}

/// How far the delivery of an event got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Pending,
    Delivered,
    Undelivered(String),
}

impl Dated for Event {
    fn at(&self) -> Time {
        self.at
    }
}

/// An event as the list of events shows it.
#[derive(Debug, Serialize)]
pub(crate) struct EventLine {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: Time,
    /// `pending`, `delivered` or `undelivered`.
    delivery: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    undelivered_because: Option<String>,
    /// The webhook's body.
    body: serde_json::Value,
}

impl From<Event> for EventLine {
    fn from(event: Event) -> Self {
        let body = serde_json::from_slice(&event.body).unwrap_or_default();
        let delivery = event.delivery.name();
        let undelivered_because = match event.delivery {
            Delivery::Undelivered(reason) => Some(reason),
            Delivery::Pending | Delivery::Delivered => None,
        };
        Self { id: event.id, kind: event.kind, created_at: event.at, delivery, undelivered_because, body }
    }
}

impl Delivery {
    /// The name on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Undelivered(_) => "undelivered",
        }
    }
}

#[derive(Serialize)]
struct Body<'a, T> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    created_at: Time,
    data: &'a T,
}

/// An event with its place among all events, from 0.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) place: usize,
    pub(crate) event: Event,
}

/// All events, and those that wait for the courier.
#[derive(Debug, Default)]
pub(crate) struct Events {
    all: Vec<Event>,
    by_id: HashMap<String, usize>,
    outbox: VecDeque<usize>,
}

impl Events {
    pub(crate) fn tell<T: Serialize>(
        &mut self,
        (id, kind): (&str, &'static str),
        at: Time,
        data: &T,
        telling: Telling,
    ) -> Result<(), Unfit> {
        let body = Body { id, kind, created_at: at, data };
        let body = serde_json::to_vec(&body).map_err(|_| Unfit("an event cannot be written"))?;
        let delivery = match telling {
            Telling::Once | Telling::Repeatedly => Delivery::Pending,
            Telling::Never => Delivery::Undelivered("lost on request".into()),
        };
        let place = self.all.len();
        if self.by_id.insert(id.to_owned(), place).is_some() {
            return Err(Unfit("an event happened twice"));
        }
        if delivery == Delivery::Pending {
            self.outbox.push_back(place);
        }
        self.all.push(Event { id: id.to_owned(), kind, at, telling, body: body.into(), delivery });
        Ok(())
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Event> {
        self.all.get(*self.by_id.get(id)?)
    }

    pub(super) fn set(&mut self, id: &str, delivery: Delivery) -> Result<(), Unfit> {
        let place = *self.by_id.get(id).ok_or(Unfit("no such event"))?;
        let event = self.all.get_mut(place).ok_or(Unfit("no such event"))?;
        if delivery == Delivery::Pending {
            self.outbox.push_back(place);
        }
        event.delivery = delivery;
        Ok(())
    }

    /// The next events to deliver, at most `limit`; they are not given out again before they are requeued or the
    /// process starts again.
    pub(crate) fn take_waiting(&mut self, limit: usize) -> Vec<Told> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some(place) = self.outbox.pop_front() else { break };
            let event = &self.all[place];
            if event.delivery == Delivery::Pending {
                taken.push(Told { place, event: event.clone() });
            }
        }
        taken
    }

    pub(crate) fn any_waiting(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(crate) fn page(&self, span: Span, delivery: Option<&str>) -> Page<EventLine> {
        let wanted = |event: &Event| delivery.is_none_or(|wanted| event.delivery.name() == wanted);
        page(&self.all, span, wanted).map(EventLine::from)
    }

    pub(crate) fn undelivered(&self) -> usize {
        let undelivered = |event: &&Event| matches!(event.delivery, Delivery::Undelivered(_));
        self.all.iter().filter(undelivered).count()
    }
}

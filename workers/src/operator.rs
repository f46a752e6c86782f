//! What operators can see and do: letters, retries, resuming what has stopped.

use events::ids::LetterId;
use projections::{
    Cursor, ProjectionId, StoreError,
    builds::{self, Serving},
};
use serde::{Deserialize, Serialize};

use crate::{
    dead_letters::{self, Letter, RedriveError, Redriven},
    processes::reactor_id,
    requests::{self, Asking, OpenRequest},
    runner::progress::collections_with_ours,
    status::RunnerStatus,
    workers::{Workers, known_projections},
};

/// One page of letters, projection by projection, each longest parked first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LettersPage {
    /// The letters.
    pub items: Vec<Letter>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<LettersCursor>,
}

/// Where a page of letters ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LettersCursor {
    /// The projection under way.
    pub projection: ProjectionId,
    /// Where in its letters; `None` at their beginning.
    pub after: Option<Cursor>,
}

impl Workers {
    /// Every runner of this process, with its lag. Of one projection there are as many as it has partitions.
    pub fn projections(&self) -> Vec<RunnerStatus> {
        self.roster.all().iter().map(|handle| handle.status.snapshot()).collect()
    }

    /// Every projection whose letters can be found: those that run here, and those that others run over the same store.
    async fn known(&self) -> Result<Vec<ProjectionId>, StoreError> {
        let mut known = known_projections(&self.roster.all());
        if self.fleet.is_none() {
            return Ok(known);
        }
        let reactor = reactor_id();
        self.store.prepare(&reactor, &collections_with_ours(&[])).await?;
        known.push(reactor);
        for projection in self.builds().projections() {
            let first = projection.id();
            if let Serving::This(live) = builds::serving(self.store.as_ref(), &first).await?
                && live.version == first.version
            {
                self.store.prepare(&live, &collections_with_ours(projection.collections())).await?;
                known.push(live);
            }
        }
        known.sort();
        known.dedup();
        Ok(known)
    }

    /// Whose letter it is, in words, with who can retry it.
    fn elsewhere(&self, letter: &Letter) -> String {
        let (projection, partition) = (letter.projection.to_string(), letter.partition().to_string());
        let scopes = self.fleet.as_ref().map(|fleet| fleet.status().scopes).unwrap_or_default();
        let holder = scopes
            .into_iter()
            .find(|held| held.projection == projection && (held.scope == partition || held.scope == "all"));
        match holder.and_then(|held| held.held_by) {
            Some(name) => format!("{projection} {partition} (held by {name})"),
            None => projection,
        }
    }

    /// Letters of all projections over this read store, or of the one called `projection`; at most `limit` (at least 1).
    ///
    /// # Errors
    /// What the read store says.
    pub async fn letters(
        &self,
        projection: Option<&str>,
        after: Option<LettersCursor>,
        limit: usize,
    ) -> Result<LettersPage, StoreError> {
        let limit = limit.max(1);
        let mut known = self.known().await?;
        known.retain(|id| projection.is_none_or(|name| id.name == name));
        let mut items = Vec::new();
        for id in known {
            let within = match &after {
                Some(cursor) if id < cursor.projection => continue,
                Some(cursor) if id == cursor.projection => cursor.after.clone(),
                Some(_) | None => None,
            };
            if items.len() >= limit {
                let next = Some(LettersCursor { projection: id, after: None });
                return Ok(LettersPage { items, next });
            }
            let page = dead_letters::list(self.store.as_ref(), &id, within, limit - items.len()).await?;
            items.extend(page.items);
            if let Some(next) = page.next {
                let next = Some(LettersCursor { projection: id, after: Some(next) });
                return Ok(LettersPage { items, next });
            }
        }
        Ok(LettersPage { items, next: None })
    }

    /// The letter with this id; `None` when there is none (any more).
    ///
    /// # Errors
    /// What the read store says.
    pub async fn letter(&self, id: LetterId) -> Result<Option<Letter>, StoreError> {
        for projection in self.known().await? {
            if let Some(letter) = dead_letters::show(self.store.as_ref(), &projection, id).await? {
                return Ok(Some(letter));
            }
        }
        Ok(None)
    }

    /// Applies what waits in the letter, in order, up to the first event that fails again, in whichever process holds its
    /// scope. Answered when that is done, which takes long for a letter with many followers; the work goes on when nobody
    /// waits for the answer.
    ///
    /// # Errors
    /// See [`RedriveError`].
    pub async fn retry(&self, id: LetterId) -> Result<Redriven, RedriveError> {
        let unavailable = |error: StoreError| RedriveError::Unavailable(error.to_string());
        let letter = self.letter(id).await.map_err(unavailable)?.ok_or(RedriveError::NotFound)?;
        let Some(fleet) = &self.fleet else {
            let handles = self.roster.all();
            let handle = (handles.iter())
                .find(|h| h.projection == letter.projection && h.partitions.contains(&letter.partition()))
                .ok_or_else(|| RedriveError::NotHere(self.elsewhere(&letter)))?;
            return requests::redrive(handle, letter.sequence).await;
        };
        let partition = letter.partition().to_string();
        if let Some(handle) = requests::holder(&self.roster, fleet, &letter.projection, &partition) {
            match requests::redrive(&handle, letter.sequence.clone()).await {
                // It changed hands just now.
                Err(RedriveError::NotHere(_)) => {}
                answer => return answer,
            }
        }
        let asking = Asking { store: self.store.as_ref(), fleet };
        let events =
            asking.retry(&letter).await?.ok_or_else(|| RedriveError::Asked(self.elsewhere(&letter)))?;
        Ok(Redriven { events, left: self.letter(id).await.map_err(unavailable)? })
    }

    /// What operators have asked of other processes and is not done with, the oldest first; nothing where there are none.
    ///
    /// # Errors
    /// What the read store says.
    pub async fn requests(&self) -> Result<Vec<OpenRequest>, StoreError> {
        let Some(fleet) = &self.fleet else { return Ok(Vec::new()) };
        fleet.prepare(self.store.as_ref()).await?;
        requests::open(self.store.as_ref()).await
    }

    /// Whether anything called so runs here, or in another process over the same read store, in whatever version and build.
    pub fn runs(&self, name: &str) -> bool {
        let is_it = |id: &str| id.parse::<ProjectionId>().is_ok_and(|id| id.name == name);
        let elsewhere = self.fleet.as_ref().map(|fleet| fleet.status().scopes).unwrap_or_default();
        self.roster.all().iter().any(|handle| handle.projection.name == name)
            || elsewhere.iter().any(|scope| is_it(&scope.projection))
    }

    /// Lets the stopped runners of a projection, or of one of its builds, go on, in every process that shares the read store;
    /// how many there were, as far as the others have answered within some seconds. What stopped them and is not mended
    /// stops them again.
    ///
    /// # Errors
    /// What the read store says; the runners of this process go on all the same.
    pub async fn resume(&self, projection: &str) -> Result<usize, StoreError> {
        let here = requests::resume(&self.roster, projection);
        let Some(fleet) = &self.fleet else { return Ok(here) };
        let asking = Asking { store: self.store.as_ref(), fleet };
        Ok(here + asking.resume(projection).await?)
    }
}

//! The sandbox payment provider: it behaves like a real one, keeps books of its own, and fails on request.
//!
//! It is a small HTTP server. A merchant charges cards, refunds them and pays out, each order under a reference of his own;
//! outcomes arrive later as signed webhooks, in whatever disorder was asked for. Real is what matters to the merchant: one
//! reference is one order, what was acknowledged survives `kill -9` (with a file for the books), and the books are zero. What
//! only a sandbox has (its clock, its faults, its special tokens) lies under `/control`. The README beside this crate shows
//! all of it with curl.
//!
//! ```text
//! server ─▶ http ─▶ bookkeeper (one thread) ─▶ books ─▶ journal
//!                        │ events
//!                        ▼
//!                   webhooks::courier ─▶ the merchant
//! ```

mod bookkeeper;
mod books;
mod http;
mod journal;
mod money;
mod server;
mod settings;
pub mod signature;
mod time;
mod tokens;
mod webhooks;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bookkeeper::Bookkeeper;
use books::Books;
use http::{Faults, Shop};
use journal::Journal;
use time::Time;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
};
use webhooks::courier::{Courier, Orders, stopped};

pub use journal::JournalError;
pub use settings::{
    Bounds, Delivery, Disorder, SECRET_BYTES_MIN, SECRETS_MAX, Settings, Timing, WebhookTarget,
};

/// Why a sandbox did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting makes no sense.
    #[error("{0}")]
    Settings(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The file of the books cannot be used.
    #[error("the books: {0}")]
    Books(#[from] JournalError),
}

/// A running sandbox. Dropped, it stops as soon as it can; [`Sandbox::stop`] waits for that.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    target: watch::Sender<Option<WebhookTarget>>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    courier: JoinHandle<()>,
    closed: oneshot::Receiver<()>,
}

impl Sandbox {
    /// Opens the books, listens, and goes to work on the current runtime.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        settings::check(&settings).map_err(StartError::Settings)?;
        let address = settings.listen;
        let refused = move |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (books, journal) = open_books(&settings)?;
        let (books, closed) =
            Bookkeeper::start(books, journal, settings.bounds.queue_max).map_err(refused)?;
        let (stop, stopping) = watch::channel(false);
        let (target, target_now) = watch::channel(settings.webhook);
        let (disorder, disorder_now) = watch::channel(settings.disorder);
        let orders = Orders { target: target_now, disorder: disorder_now, stop: stopping.clone() };
        let courier = tokio::spawn(Courier::new(books.clone(), orders, settings.delivery).work());
        let shop = Shop {
            books,
            api_key: settings.api_key,
            timing: settings.timing,
            faults: Faults::new(settings.bounds.faults_max),
            target: target.clone(),
            disorder,
        };
        let router = http::router(Arc::new(shop));
        let mut stopping = stopping;
        let connections_max = settings.bounds.connections_max;
        let server = tokio::spawn(async move {
            server::serve(listener, router, connections_max, stopped(&mut stopping)).await;
        });
        Ok(Self { address, target, stop, server, courier, closed })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends webhooks there from now on, those that wait included.
    pub fn deliver_to(&self, target: WebhookTarget) {
        self.target.send_replace(Some(target));
    }

    /// Finishes the requests under way, within a bound, and closes the books. Webhooks that were not sent are sent after the
    /// next start, when there is a file for the books.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in [self.server, self.courier] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the sandbox failed");
            }
        }
        // Connections that were cut off may still hold the books; they end with their requests.
        if tokio::time::timeout(CLOSE_TIMEOUT, self.closed).await.is_err() {
            tracing::warn!("the books are still held by a request that was cut off");
        }
    }
}

/// The books are closed within this time after the last request, unless one that was cut off holds them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

fn open_books(settings: &Settings) -> Result<(Books, Option<Journal>), JournalError> {
    let mut books = Books::new(settings.timing, settings.bounds, Time::of_the_machine());
    let Some(path) = &settings.books else {
        books.opened();
        return Ok((books, None));
    };
    let mut journal = Journal::open(path, |record| books.replay(record))?;
    if journal.bytes == 0 {
        books.opened();
        journal.save(&books.take_unsaved())?;
    }
    books.saved_bytes = journal.bytes;
    Ok((books, Some(journal)))
}

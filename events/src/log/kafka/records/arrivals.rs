//! Which clients have something to be polled for: told by their threads, waited for by the tail's.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The clients that announced something, by index.
#[derive(Default)]
pub(super) struct Arrivals {
    announced: Mutex<Vec<usize>>,
    changed: Condvar,
}

impl Arrivals {
    /// This client has something, or may have.
    pub(super) fn announce(&self, client: usize) {
        let mut announced = self.lock();
        if !announced.contains(&client) {
            announced.push(client);
            self.changed.notify_one();
        }
    }

    /// All of so many clients may have something.
    pub(super) fn announce_all(&self, clients: usize) {
        (0..clients).for_each(|client| self.announce(client));
    }

    /// Whether this client was announced since the last call. It is to be polled then until it has nothing more: what comes
    /// later is announced anew.
    pub(super) fn take(&self, client: usize) -> bool {
        let mut announced = self.lock();
        let before = announced.len();
        announced.retain(|known| *known != client);
        announced.len() < before
    }

    /// Waits until any client was announced, at most so long. True when one was.
    pub(super) fn wait(&self, wait: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), wait, |announced| announced.is_empty());
        !waited.unwrap_or_else(PoisonError::into_inner).0.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        // Nothing in here panics half-way through a change.
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_announced_something_is_taken_once_until_the_next_announcement() {
        let arrivals = Arrivals::default();
        assert!(!arrivals.wait(Duration::ZERO) && !arrivals.take(0));
        arrivals.announce(1);
        arrivals.announce(1);
        assert!(arrivals.wait(Duration::from_secs(3600)) && !arrivals.take(0) && arrivals.take(1));
        assert!(!arrivals.take(1) && !arrivals.wait(Duration::ZERO));
        arrivals.announce_all(2);
        assert!(arrivals.take(0) && arrivals.take(1));
    }

    #[test]
    fn an_announcement_from_another_thread_ends_the_wait() {
        let arrivals = Arrivals::default();
        std::thread::scope(|scope| {
            scope.spawn(|| arrivals.announce(7));
            assert!(arrivals.wait(Duration::from_secs(60)));
        });
        assert!(arrivals.take(7));
    }
}

//! Passwords: Argon2id on threads that may block, a bounded number at once, a bounded number waiting.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::sync::Semaphore;

use crate::{
    http::{Code, Problem},
    settings::AuthSettings,
};

/// Hashes and checks passwords.
#[derive(Debug)]
pub struct Passwords {
    hasher: Argon2<'static>,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    /// Checked when there is no account, so that its absence does not show in the time an answer takes.
    decoy: String,
}

impl Passwords {
    /// # Errors
    /// Parameters that Argon2 refuses.
    pub fn new(settings: &AuthSettings) -> Result<Self, String> {
        let params = Params::new(
            settings.argon2_memory_kib,
            settings.argon2_iterations,
            settings.argon2_parallelism,
            None,
        );
        let params = params.map_err(|error| format!("Argon2 refuses auth.argon2_*: {error}"))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let decoy = hasher.hash_password(b"nobody's").map_err(|error| error.to_string())?.to_string();
        Ok(Self {
            hasher,
            turns: Arc::new(Semaphore::new(settings.password_hashes_max)),
            waiting: Arc::new(AtomicUsize::new(0)),
            waiting_max: settings.password_queue_max,
            decoy,
        })
    }

    /// The PHC string of `password`, with a fresh salt.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when too many wait.
    pub async fn hash(&self, password: String) -> Result<String, Problem> {
        let hasher = self.hasher.clone();
        let hashed =
            self.turn(move || hasher.hash_password(password.as_bytes()).map(|hash| hash.to_string()));
        hashed.await?.map_err(|error| Problem::internal(&error))
    }

    /// Whether `password` is the one of `hash`; without a hash it takes as long and is not.
    ///
    /// # Errors
    /// [`Code::Overloaded`] when too many wait.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Problem> {
        let hasher = self.hasher.clone();
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.decoy.clone());
        let verified = self.turn(move || {
            let parsed = PasswordHash::new(&hash)?;
            Ok::<_, argon2::password_hash::phc::Error>(
                hasher.verify_password(password.as_bytes(), &parsed).is_ok(),
            )
        });
        verified.await?.map(|fits| fits && known).map_err(|error| Problem::internal(&error))
    }

    async fn turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let _place = Place::take(&self.waiting, self.waiting_max)?;
        let turn =
            Arc::clone(&self.turns).acquire_owned().await.map_err(|error| Problem::internal(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| Problem::internal(&error))
    }
}

/// A place in the queue, given back on drop.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, waiting_max: usize) -> Result<Self, Problem> {
        let place = Self(Arc::clone(waiting));
        if waiting.fetch_add(1, Ordering::AcqRel) >= waiting_max {
            return Err(Problem::new(
                Code::Overloaded,
                "too many passwords wait to be checked; try again later",
            ));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Layers, Origin};

    fn passwords(queue_max: i64) -> Passwords {
        let mut layers = Layers::defaults();
        for (key, value) in [
            ("auth.argon2_memory_kib", 8),
            ("auth.argon2_iterations", 1),
            ("auth.password_queue_max", queue_max),
        ] {
            layers.set(key, value, Origin::Given).expect("a known key");
        }
        Passwords::new(&layers.settings().expect("they hold").auth).expect("Argon2 takes them")
    }

    #[tokio::test]
    async fn a_password_fits_its_own_hash_only() {
        let passwords = passwords(1);
        let hash = passwords.hash("open sesame".into()).await.expect("there is room");
        assert!(hash.starts_with("$argon2id$"));
        for (password, hash, fits) in [
            ("open sesame", Some(hash.clone()), true),
            ("open barley", Some(hash.clone()), false),
            ("open sesame", None, false),
            ("nobody's", None, false),
        ] {
            assert_eq!(
                passwords.verify(password.into(), hash).await.expect("there is room"),
                fits,
                "{password}"
            );
        }
    }

    #[tokio::test]
    async fn when_too_many_wait_the_next_is_told_so() {
        let refused = passwords(0).hash("open sesame".into()).await.expect_err("there is no room");
        assert_eq!(refused.code(), Code::Overloaded.code());
    }
}

//! Opens personal values at the last moment, on their way out.

use std::time::Duration;

use events::{Personal, personal::Opened};

use crate::{
    app::App,
    http::{Code, Problem},
};

impl App {
    /// The value; `None` when the person was erased.
    ///
    /// # Errors
    /// 503 when the key does not arrive within the bound; 500 when the value is damaged.
    pub async fn open(&self, sealed: &Personal<String>) -> Result<Option<String>, Problem> {
        let patience = Duration::from_millis(self.settings.http.personal_wait_ms);
        let opened = match sealed.open(&self.keys) {
            Ok(Opened::Absent) => sealed.open_waiting(&self.keys, patience).await,
            opened => opened,
        };
        match opened {
            Ok(Opened::Value(value)) => Ok(Some(value)),
            Ok(Opened::Erased) => Ok(None),
            Ok(Opened::Absent) => Err(Problem::new(
                Code::Unavailable,
                "a key of this answer has not arrived here yet; try again",
            )),
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}

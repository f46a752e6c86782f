//! What went wrong: said by MongoDB or by us, and whether it may pass by itself.

use mongodb::error::{Error, ErrorKind, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};

use crate::StoreError;

/// Codes of errors that come again however often one tries.
const LASTING: &[i32] = &[
    2,     // BadValue
    9,     // FailedToParse
    13,    // Unauthorized
    14,    // TypeMismatch
    18,    // AuthenticationFailed
    20,    // IllegalOperation
    26,    // NamespaceNotFound
    67,    // CannotCreateIndex
    73,    // InvalidNamespace
    85,    // IndexOptionsConflict
    86,    // IndexKeySpecsConflict
    171,   // CannotIndexParallelArrays
    257,   // TransactionTooLarge
    10334, // BSONObjectTooLarge
    17420, // a document beyond the largest
];
/// A write in a transaction that another transaction was faster with.
const WRITE_CONFLICT: i32 = 112;
const DUPLICATE_KEY: i32 = 11000;
/// The server's cache has no room for what a transaction has written, beside what all others have.
const NO_ROOM: i32 = 388;

/// See the module.
#[derive(Debug)]
pub(super) enum Failure {
    /// Said by the driver or the server.
    Mongo(Error),
    /// The server's cache has no room for the transaction now.
    NoRoom(String),
    /// Said by us.
    Store(StoreError),
}

impl Failure {
    /// The whole transaction may be tried again: nothing of it was done.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Mongo(error) => {
                error.contains_label(TRANSIENT_TRANSACTION_ERROR) || code_of(error) == Some(NO_ROOM)
            }
            Self::NoRoom(_) => true,
            Self::Store(_) => false,
        }
    }

    /// Another transaction holds what this one wanted to write.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Mongo(error) if code_of(error) == Some(WRITE_CONFLICT))
    }

    /// Nobody knows whether the transaction was committed; asking again tells.
    pub(super) fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Mongo(error) if error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT))
    }

    /// What was to be inserted is there already.
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Mongo(error) if code_of(error) == Some(DUPLICATE_KEY))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Mongo(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::NoRoom(says) => Self::Unavailable(says),
            Failure::Mongo(error) => {
                let says = words_of(&error);
                if may_pass(&error) { Self::Unavailable(says) } else { Self::Refused(says) }
            }
        }
    }
}

/// What the error says, without the server's whole answer and without what it was asked.
fn words_of(error: &Error) -> String {
    format!("MongoDB: {}{}", error.kind, advice(code_of(error).unwrap_or_default()))
}

/// What can be done about errors that come again.
fn advice(code: i32) -> &'static str {
    match code {
        257 | NO_ROOM => {
            "; a batch must fit into a share of the server's cache: set workers.batch_commits_max lower, or give the \
             server more cache"
        }
        _ => "",
    }
}

fn may_pass(error: &Error) -> bool {
    match error.kind.as_ref() {
        ErrorKind::InvalidArgument { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::Bson(_)
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::SessionsNotSupported => false,
        // What another release of the driver may say is tried again as well: that is slow, and said in the status.
        _ => !code_of(error).is_some_and(|code| LASTING.contains(&code)),
    }
}

/// The number by which the server knows what went wrong.
pub(super) fn code_of(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(command) => Some(command.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(write)) => Some(write.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteConcernError(concern)) => Some(concern.code),
        _ => None,
    }
}

/// What a write command says of its single statements, since a command that ran is no error to the driver.
///
/// # Errors
/// [`StoreError::Fenced`] when what was to be inserted was there already; else what the server says.
pub(super) fn check_statements(answer: &mongodb::bson::Document) -> Result<(), Failure> {
    let Ok(errors) = answer.get_array("writeErrors") else { return Ok(()) };
    let Some(first) = errors.first().and_then(|error| error.as_document()) else { return Ok(()) };
    let code = first.get_i32("code").unwrap_or_default();
    if code == DUPLICATE_KEY {
        return Err(StoreError::Fenced.into());
    }
    let words = first.get_str("errmsg").unwrap_or("a write failed");
    let says = format!("MongoDB: {words} ({code}){}", advice(code));
    if code == NO_ROOM {
        return Err(Failure::NoRoom(says));
    }
    let lasting = LASTING.contains(&code);
    Err(if lasting { StoreError::Refused(says) } else { StoreError::Unavailable(says) }.into())
}

//! What an aggregate is: a state that decides and a fold that remembers.

use std::{collections::BTreeSet, fmt, sync::Arc};

use events::{
    Category, DomainEvent, Id, StreamId, Timestamp,
    ids::{AccountId, CommandId},
    vocabulary::identity::Role,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::policy::Policy;

/// A consistency boundary: decides commands on its own state alone, and folds its own events.
///
/// Both functions are pure and total. The default state is that of a stream without events.
pub trait Aggregate: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The streams it is the state of.
    const CATEGORY: Category;
    /// Counts the folds there have been: a changed `evolve` or state is a new one, and makes older snapshots void.
    const FOLD_VERSION: u16;
    /// Its identity.
    type Id: Id;
    /// What can be asked of it. Serialises for the schemas and for logs; personal data in it is sealed already.
    type Command: Clone + fmt::Debug + Send + Sync + 'static;
    /// What can happen to it.
    type Event: DomainEvent;
    /// Why it may say no.
    type Rejection: Rejection;

    /// The events that follow from `command`; none when there is nothing (left) to do.
    ///
    /// # Errors
    /// The rule that says no.
    fn decide(&self, command: &Self::Command, context: &Context)
    -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Folds one event. Never fails: what is on the log has happened.
    fn evolve(&mut self, event: &Self::Event);
}

/// The rules said no. Not an error of ours, and never worth a retry on the same state.
pub trait Rejection: std::error::Error + Clone + Send + Sync + 'static {
    /// A stable code for clients, `snake_case`.
    fn code(&self) -> &'static str;
    /// What kind of no it is.
    fn kind(&self) -> RejectionKind;
}

/// How a rejection looks to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectionKind {
    /// There is no such thing (or the actor may not know that there is).
    NotFound,
    /// The actor's role or relation does not allow it.
    Forbidden,
    /// The thing is in a state that does not allow it.
    State,
    /// The command itself makes no sense.
    Invalid,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person, with the roles the account has.
    Account {
        /// Who.
        id: AccountId,
        /// What they may do.
        roles: BTreeSet<Role>,
    },
    /// A program with a token of its own.
    Service {
        /// Its name.
        name: String,
    },
    /// A process manager's step.
    Process {
        /// Its stream.
        stream: StreamId,
    },
    /// A timer, or somebody at the command line of the machine itself.
    System,
}

impl Actor {
    /// The account, when it is one.
    pub fn account(&self) -> Option<AccountId> {
        match self {
            Self::Account { id, .. } => Some(*id),
            Self::Service { .. } | Self::Process { .. } | Self::System => None,
        }
    }

    /// A person with this role.
    pub fn has_role(&self, role: Role) -> bool {
        match self {
            Self::Account { roles, .. } => roles.contains(&role),
            Self::Service { .. } | Self::Process { .. } | Self::System => false,
        }
    }

    /// The machinery itself: a process manager, a timer, the command line. Never a client.
    pub fn is_internal(&self) -> bool {
        match self {
            Self::Process { .. } | Self::System => true,
            Self::Account { .. } | Self::Service { .. } => false,
        }
    }
}

impl fmt::Display for Actor {
    /// As it stands in the envelope's `actor`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account { id, .. } => write!(f, "account:{id}"),
            Self::Service { name } => write!(f, "service:{name}"),
            Self::Process { stream } => write!(f, "process:{stream}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// All that a decision may depend on beside the state and the command.
#[derive(Clone, Debug)]
pub struct Context {
    /// Domain time.
    pub now: Timestamp,
    /// Who asks.
    pub actor: Actor,
    /// The command; fresh ids derive from it.
    pub command_id: CommandId,
    /// The bits of the aggregate's own id.
    pub own: Uuid,
    /// The settings that matter.
    pub policy: Arc<Policy>,
}

impl Context {
    /// The aggregate's own id.
    pub fn own_id<I: Id>(&self) -> I {
        I::from_uuid(self.own)
    }

    /// The `ordinal`-th fresh id that this command brings into the world, the same at every repetition.
    pub fn fresh_id<I: Id>(&self, ordinal: u32) -> I {
        self.command_id.derive(ordinal)
    }
}

//! `guildhall demo`: a story told through the public HTTP API, against a running server or one of its own.

use std::path::Path;

use events::vocabulary::identity::Role;

use super::{Failure, print, runtime};
use crate::{
    demo::{self, DemoArguments, DemoError},
    house::Server,
    security::tokens::Tokens,
    settings::{Layers, Origin, Settings},
};

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Unreachable(..) => {
                Self::Unreachable(format!("{error}; start it with `guildhall`, or use --self-hosted"))
            }
            DemoError::Unexpected(_) => Self::Error(error.to_string()),
        }
    }
}

/// The brokers of the stack under which this process runs, if it does.
const STACK_VARIABLE: &str = "GUILDHALL_STACK_KAFKA";
/// And its MongoDB.
const MONGO_VARIABLE: &str = "GUILDHALL_STACK_MONGO";

/// How long the demo's own token is good for.
const TOKEN_S: u64 = 60 * 60;

/// A token to look at the ledger with.
fn operator(arguments: &DemoArguments, settings: &Settings) -> Result<String, Failure> {
    if let Some(token) = &arguments.token {
        return Ok(token.clone());
    }
    let token = Tokens::new(&settings.auth).for_service("demo", Role::Operator, TOKEN_S);
    token.map_err(|error| Failure::Error(format!("cannot sign a token: {error}")))
}

pub(super) fn demo(arguments: &DemoArguments, layers: &Layers) -> Result<(), Failure> {
    runtime()?.block_on(async {
        if !arguments.self_hosted {
            let token = operator(arguments, &layers.settings()?)?;
            return Ok(demo::run(&arguments.server, arguments, &token).await?);
        }
        let folder = tempfile::Builder::new()
            .prefix("guildhall-demo-")
            .tempdir()
            .map_err(|error| Failure::Error(format!("cannot make a throw-away folder: {error}")))?;
        let settings = settings(arguments, folder.path())?;
        let token = operator(arguments, &settings)?;
        let server = Server::start(settings).await?;
        let told = demo::run(&[format!("http://{}", server.address())], arguments, &token).await;
        server.stop().await;
        Ok(told?)
    })
}

/// The defaults, on a free port and this folder; says where the log is.
fn settings(arguments: &DemoArguments, folder: &Path) -> Result<Settings, Failure> {
    let of_stack = || std::env::var(STACK_VARIABLE).ok().map(|brokers| format!("kafka://{brokers}"));
    let log = arguments.log.clone().or_else(of_stack).unwrap_or_else(|| "embedded".into());
    // A cluster may carry other logs; the folder's name is drawn at random.
    let name = folder.file_name().map_or_else(|| "guildhall-demo".into(), |name| name.to_string_lossy());
    let prefix = name.replace('.', "");
    let mut layers = Layers::defaults();
    layers.set("listen", "127.0.0.1:0", Origin::Given)?;
    layers.set("data", folder.display().to_string(), Origin::Given)?;
    layers.set("log.url", log.clone(), Origin::Given)?;
    layers.set("log.kafka.topic_prefix", prefix.clone(), Origin::Given)?;
    let databases = prefix.replace('-', "_").to_lowercase();
    if let Ok(store) = std::env::var(MONGO_VARIABLE) {
        layers.set("read_store.url", store, Origin::Given)?;
        layers.set("read_store.database_prefix", databases.clone(), Origin::Given)?;
    }
    let settings = layers.settings()?;
    if settings.log.is_shared() {
        print(&format!("The log of this story is on {log}, in the topics {prefix}.*\n"))?;
    } else {
        print("The log of this story is a file in a throw-away folder\n")?;
    }
    if settings.read_store.is_shared() {
        print(&format!("Its read models are in MongoDB, in the databases {databases}_*\n"))?;
    }
    Ok(settings)
}

//! `guildhall demo`: a story told through the public HTTP API, against a running server or one of its own.

use super::{Failure, runtime};
use crate::{
    demo::{self, DemoArguments, DemoError},
    house::Server,
    settings::{Layers, Origin},
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

pub(super) fn demo(arguments: &DemoArguments) -> Result<(), Failure> {
    runtime()?.block_on(async {
        if !arguments.self_hosted {
            return Ok(demo::run(&arguments.server, arguments).await?);
        }
        let folder = tempfile::Builder::new()
            .prefix("guildhall-demo-")
            .tempdir()
            .map_err(|error| Failure::Error(format!("cannot make a throw-away folder: {error}")))?;
        let mut layers = Layers::defaults();
        layers.set("listen", "127.0.0.1:0", Origin::Given)?;
        layers.set("data", folder.path().display().to_string(), Origin::Given)?;
        let server = Server::start(layers.settings()?).await?;
        let told = demo::run(&format!("http://{}", server.address()), arguments).await;
        server.stop().await;
        Ok(told?)
    })
}

//! `guildhall projections`: the read models of a running server, over its `/ops`.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use clap::{Args, Subcommand};
use events::vocabulary::identity::Role;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Failure, print, runtime};
use crate::{
    demo::{Client, Reply},
    security::tokens::Tokens,
    settings::Settings,
};

/// What is asked, and of whom.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  guildhall projections list\n  guildhall projections rebuild board --swap --wait\n  \
                        guildhall projections compare board_v1_b1\n  guildhall projections swap board_v1_b1\n  \
                        guildhall projections drop board_v1\n  guildhall projections pause board_v1_b1"
)]
pub(super) struct Projections {
    /// The server to ask.
    #[arg(long, global = true, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// An operator's access token; without it GUILDHALL_TOKEN, else one is signed with the secret of these settings.
    #[arg(long, global = true, value_name = "TOKEN", env = "GUILDHALL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the server's answer as it is.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Every read model with its builds.
    List,
    /// One read model with its builds, and what the last comparison came to.
    Status {
        /// Its name, `board`.
        projection: String,
    },
    /// Build a read model anew, beside the one that serves.
    Rebuild {
        /// Its name, `board`.
        projection: String,
        /// Swap it in by itself once it is ready.
        #[arg(long)]
        swap: bool,
        /// Wait until it is ready (or live, with --swap), with progress on stderr.
        #[arg(long)]
        wait: bool,
    },
    /// Compare a build with the live one, at the same positions.
    Compare {
        /// The build, `board_v1_b2`; a name stands for its only one that is not live.
        build: String,
        /// What the sample is drawn with; another one each time unless said otherwise.
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Make a build the live one, in one instant for all who read.
    Swap {
        /// The build, as above.
        build: String,
        /// Even though a comparison found it to differ.
        #[arg(long)]
        force: bool,
    },
    /// Give a build up; its documents are removed a moment later.
    Drop {
        /// The build, as above.
        build: String,
    },
    /// Let the runners of a build, or of all builds of a read model, stand still in every process.
    Pause {
        /// A build or a name.
        projection: String,
    },
    /// Let what was paused, or has stopped, go on.
    Resume {
        /// A build or a name.
        projection: String,
    },
}

/// How often a rebuild that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A token that is signed for one command is good for this long, seconds; a rebuild that is waited for takes new ones.
const TOKEN_S: u64 = 3600;

pub(super) fn run(settings: &Settings, asked: &Projections) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let server = Server { settings, asked };
        match &asked.command {
            Asked::List => {
                let all = server.get("/ops/projections").await?;
                server.show(&all, || table(all["read_models"].as_array().map_or(&[], Vec::as_slice)))
            }
            Asked::Status { projection } => {
                let model = server.get(&format!("/ops/projections/{projection}")).await?;
                server.show(&model, || status(&model))
            }
            Asked::Rebuild { projection, swap, wait } => server.rebuild(projection, *swap, *wait).await,
            Asked::Compare { build, seed } => {
                let body = seed.map_or_else(|| json!({}), |seed| json!({ "seed": seed }));
                let comparison = server.post(build, "compare", body).await?;
                server.show(&comparison, || compared(&comparison))
            }
            Asked::Swap { build, force } => {
                let model = server.post(build, "swap", json!({ "force": force })).await?;
                server.show(&model, || status(&model))
            }
            Asked::Drop { build } => {
                let model = server.post(build, "drop", json!({})).await?;
                server.show(&model, || status(&model))
            }
            Asked::Pause { projection } => {
                let paused = server.post(projection, "pause", json!({})).await?;
                server.show(&paused, || format!("{} builds stand still\n", paused["builds"]))
            }
            Asked::Resume { projection } => {
                let resumed = server.post(projection, "resume", json!({})).await?;
                let (builds, runners) = (&resumed["builds"], &resumed["runners"]);
                server.show(&resumed, || {
                    format!("{builds} builds are not paused, {runners} stopped runners go on\n")
                })
            }
        }
    })
}

struct Server<'a> {
    settings: &'a Settings,
    asked: &'a Projections,
}

impl Server<'_> {
    fn client(&self) -> Result<Client, Failure> {
        let token = match &self.asked.token {
            Some(token) => token.clone(),
            None => Tokens::new(&self.settings.auth)
                .for_service("command-line", Role::Operator, TOKEN_S)
                .map_err(|error| Failure::Error(format!("cannot sign a token: {error}")))?,
        };
        Ok(Client::new(std::slice::from_ref(&self.asked.server)).bearing(&token)?)
    }

    async fn get(&self, path: &str) -> Result<Value, Failure> {
        answered(self.client()?.get(path, None).await?)
    }

    async fn post(&self, of: &str, what: &str, body: Value) -> Result<Value, Failure> {
        answered(self.client()?.post(&format!("/ops/projections/{of}/{what}"), body).await?)
    }

    async fn rebuild(&self, projection: &str, swap: bool, wait: bool) -> Result<(), Failure> {
        let model = self.post(projection, "rebuild", json!({ "swap": swap })).await?;
        if !wait {
            return self.show(&model, || status(&model));
        }
        let builds = |model: &Value| model["builds"].as_array().cloned().unwrap_or_default();
        let newest = builds(&model).into_iter().rfind(|build| build["state"] == "building");
        let newest = newest.map(|build| build["build"].clone()).unwrap_or_default();
        let shows = std::io::stderr().is_terminal();
        loop {
            let model = self.get(&format!("/ops/projections/{projection}")).await?;
            let build = builds(&model).into_iter().find(|build| build["build"] == newest).unwrap_or_default();
            let state = build["state"].as_str().unwrap_or("gone");
            if shows {
                // There is nobody left to tell when stderr is closed.
                let _ =
                    writeln!(std::io::stderr(), "{}  {state}  {}", text(&build["build"]), progress(&build));
            }
            match state {
                "differs" | "gone" => {
                    print(&status(&model))?;
                    return Err(Failure::Error(format!("{} is {state}", text(&newest))));
                }
                "live" => return self.show(&model, || status(&model)),
                "ready" if !swap => return self.show(&model, || status(&model)),
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    fn show(&self, answer: &Value, readable: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.asked.json { print(&format!("{answer:#}\n")) } else { print(&readable()) }
    }
}

fn answered(reply: Reply) -> Result<Value, Failure> {
    if reply.status.is_success() {
        return Ok(reply.body);
    }
    let said = format!("{}: {}", reply.text("/code"), reply.text("/detail"));
    Err(match reply.status {
        StatusCode::NOT_FOUND => Failure::NotFound(said),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Denied(said),
        _ => Failure::Error(said),
    })
}

const HEADINGS: [&str; 5] = ["READ MODEL", "BUILD", "STATE", "FOLDED", "NOTE"];

/// One line for each build.
fn table(models: &[Value]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    for model in models {
        for build in model["builds"].as_array().map_or(&[][..], Vec::as_slice) {
            let paused = if build["paused"] == true { " (paused)" } else { "" };
            let note = match (text(&build["trouble"]), build["comparison"]["different"].as_u64()) {
                ("", Some(different)) if different > 0 => {
                    format!("{different} of {} documents differ", build["comparison"]["documents"])
                }
                (trouble, _) => trouble.to_owned(),
            };
            rows.push([
                text(&model["projection"]).to_owned(),
                text(&build["build"]).to_owned(),
                format!("{}{paused}", text(&build["state"])),
                progress(build),
                note,
            ]);
        }
    }
    aligned(&rows)
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// `1200/5000 24 % 800/s 5 s left`
fn progress(build: &Value) -> String {
    let (folded, of) = (build["folded"].as_i64().unwrap_or(0), build["of"].as_i64().unwrap_or(0));
    let percent = if of > 0 { folded * 100 / of } else { 100 };
    let mut said = format!("{folded}/{of} {percent} %");
    if let Some(rate) = build["rate_per_second"].as_f64() {
        said.push_str(&format!(" {rate:.0}/s"));
    }
    if let Some(left_ms) = build["left_ms"].as_u64() {
        said.push_str(&format!(" {} s left", left_ms.div_ceil(1000)));
    }
    said
}

fn status(model: &Value) -> String {
    let mut said = table(std::slice::from_ref(model));
    for build in model["builds"].as_array().map_or(&[][..], Vec::as_slice) {
        if build["comparison"].is_object() {
            said.push_str(&format!("\n{} compared: ", text(&build["build"])));
            said.push_str(&compared(&build["comparison"]));
        }
    }
    said
}

fn compared(comparison: &Value) -> String {
    let where_they_stood =
        if comparison["positions"].is_object() { "at the same positions" } else { "each where it stood" };
    let mut said = format!(
        "{} of {} documents differ from {}, {where_they_stood} (seed {})\n",
        comparison["different"],
        comparison["documents"],
        text(&comparison["with"]),
        comparison["seed"]
    );
    for difference in comparison["differences"].as_array().map_or(&[][..], Vec::as_slice) {
        said.push_str(&format!("  {} {}\n", text(&difference["collection"]), text(&difference["key"])));
        for place in difference["places"].as_array().map_or(&[][..], Vec::as_slice) {
            said.push_str(&format!("    {}\n", text(place)));
        }
    }
    said
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_stand_below_each_other_with_what_is_wrong() {
        let differing = json!({
            "build": "board_v1_b1", "state": "differs", "paused": true, "folded": 5, "of": 10, "trouble": null,
            "rate_per_second": 2.0, "left_ms": 2500,
            "comparison": {
                "different": 1, "documents": 7, "with": "board_v1", "seed": 3, "positions": {},
                "differences": [{ "collection": "entries", "key": "job_1", "places": ["/a: live 1, rebuilt 2"] }],
            },
        });
        let live = json!({ "build": "board_v1", "state": "live", "folded": 10, "of": 10, "trouble": "x" });
        let model = json!({ "projection": "board", "live": "board_v1", "builds": [live, differing] });
        let lines: Vec<String> = status(&model).lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "READ MODEL  BUILD        STATE             FOLDED                  NOTE");
        assert_eq!(lines[1], "board       board_v1     live              10/10 100 %             x");
        assert_eq!(
            lines[2],
            "board       board_v1_b1  differs (paused)  5/10 50 % 2/s 3 s left  1 of 7 documents differ"
        );
        assert!(lines[4].contains("1 of 7 documents differ from board_v1, at the same positions (seed 3)"));
        assert_eq!(lines[6], "    /a: live 1, rebuilt 2");
    }
}

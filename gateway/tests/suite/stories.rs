//! What the README shows works as it stands there, and so does the demo.

use std::process::Command;

use events::vocabulary::identity::Role;
use gateway::demo::{self, DemoArguments};

use crate::harness::Guild;

/// The shell blocks between the README's marks, for the server at `base`.
fn walk_through(base: &str) -> String {
    let readme = include_str!("../../../README.md");
    let start = readme.find("<!-- walk-through:").expect("the README marks where it begins");
    let end = readme.find("<!-- walk-through ends -->").expect("the README marks where it ends");
    let blocks = readme[start..end].split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script = blocks.collect::<String>().replace("http://127.0.0.1:8080", base);
    script.replace("cargo run --quiet --release --", env!("CARGO_BIN_EXE_guildhall"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_walk_through_ends_in_a_payout_and_a_trial_balance() {
    let guild = Guild::start().await;
    let script = walk_through(&format!("http://{}", guild.server.address()));
    let shell = tokio::task::spawn_blocking(move || {
        // What a block waits for and never comes ends the walk.
        Command::new("timeout").args(["180", "bash", "-u", "-c", &script]).output().expect("there is a shell")
    });
    let output = shell.await.expect("joins");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    let signed = said.lines().find(|line| line.contains("\"signed_by\"")).expect("the contract is shown");
    assert!(signed.contains("\"status\":\"signed\""), "{said}\n{complained}");
    assert!(said.contains("\"code\":\"invalid_field\""), "the mistake is explained: {said}");
    let of_wallet = said.lines().find(|line| line.contains("\"in_payout\"")).expect("the wallet is shown");
    assert!(of_wallet.contains("\"available\":{\"amount\":\"270000\""), "{said}");
    let debited =
        said.lines().find(|line| line.contains("\"kind\":\"held\"")).expect("the statement is shown");
    assert!(debited.contains("\"kind\":\"credited\""), "{said}");
    let trial = said.lines().find(|line| line.contains("\"balanced\"")).expect("the trial balance is shown");
    assert!(trial.contains("\"balanced\":true") && trial.contains("\"account\":\"fees\""), "{said}");
    assert!(said.contains("\"status\":\"agreed\""), "the books agree: {said}");
    guild.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_whole_story() {
    let guild = Guild::start().await;
    let bases = [format!("http://{}", guild.server.address())];
    let arguments = DemoArguments {
        server: vec![],
        self_hosted: false,
        log: None,
        token: None,
        scale: None,
        concurrency: 1,
    };
    let token = guild.server.app.tokens.for_service("demo", Role::Operator, 3600).expect("a token is signed");
    demo::run(&bases, &arguments, &token).await.expect("every answer is the one the story needs");
    let many = DemoArguments { scale: Some(12), concurrency: 4, ..arguments.clone() };
    demo::run(&bases, &many, &token).await.expect("twelve marketplaces are made");
    // Requests that alternate carry what was seen, whoever answers.
    let both = [bases[0].clone(), bases[0].replace("127.0.0.1", "localhost")];
    demo::run(&both, &arguments, &token).await.expect("the same story, with tokens");
    demo::run(&both, &many, &token).await.expect("and the same marketplaces");
    guild.stop().await;
}

//! The README says every special token, as the sandbox itself lists them.

use crate::harness::House;

#[tokio::test]
async fn given_the_list_of_tokens_when_the_readme_is_read_then_it_has_each_with_its_meaning() {
    let house = House::open().await;
    let tokens = house.client.get("/control/tokens").await.expect(200);
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for kind in ["methods", "destinations"] {
        for line in tokens[kind].as_array().unwrap() {
            let row =
                format!("| `{}` | {} |", line["token"].as_str().unwrap(), line["meaning"].as_str().unwrap());
            assert!(readme.contains(&row), "the README lacks: {row}");
        }
    }
}

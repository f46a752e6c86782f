//! sessions: an account's devices.

use std::sync::Arc;

use events::{
    Category, StreamId,
    ids::{AccountId, SessionId},
    vocabulary::identity::{
        SessionEnd, SessionEvent, SessionRevoked, SessionRotated, SessionStarted, TokenReuseDetected,
    },
};
use projections::{
    PageRequest,
    sessions::{Sessions, list},
};

use crate::{
    engines::sqlite,
    story::{Story, at, id, project, sealed},
};

fn start(story: &mut Story, session: SessionId, account: AccountId) -> StreamId {
    let stream = StreamId::new(Category::Session, session);
    let device = sealed(account, "telephone");
    let started = SessionStarted { account, device, refresh_hash: "00".into(), expires_at: at(1000) };
    story.say(stream, SessionEvent::from(started));
    stream
}

#[tokio::test]
async fn an_account_sees_its_own_devices_newest_first_ended_ones_included() {
    let mut story = Story::default();
    let first = start(&mut story, id(1), id(10));
    start(&mut story, id(2), id(10));
    start(&mut story, id(3), id(11));
    story.say(first, SessionEvent::from(SessionRotated { refresh_hash: "11".into(), grace_until: at(9) }));
    story.say(first, SessionEvent::from(TokenReuseDetected {}));
    story.say(first, SessionEvent::from(SessionRevoked { reason: SessionEnd::TokenReuse }));
    let fixture = sqlite();
    project(Arc::new(Sessions), Arc::clone(&fixture.store), &story.events, &[2]).await;
    let page = list(fixture.store.as_ref(), id(10), PageRequest::first(10)).await.unwrap();
    let [second, first] = &page.items[..] else { panic!("{page:?}") };
    assert_eq!((second.session, second.revoked, second.version), (id(2), None, 1));
    assert_eq!(
        (first.session, first.refreshed_at, first.token_reused, first.version),
        (id(1), at(3), true, 4)
    );
    assert_eq!(
        first.revoked.map(|revoked| (revoked.at, revoked.reason)),
        Some((at(5), SessionEnd::TokenReuse))
    );
}

//! What may happen in a story of money, and where it begins.

use commands::{Actor, contract::ContractCommand, payout::PayoutCommand};
use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    super::fixtures::*,
    provider::{Charge, GivingBack, Remittance},
};

/// What anybody does, or the machine.
#[derive(Clone, Debug)]
pub(super) enum Move {
    /// Somebody does something about the contract.
    Contract {
        command: ContractCommand,
        actor: Actor,
    },
    Attempt {
        payment: usize,
    },
    CancelPayment {
        payment: usize,
    },
    RequestPayout {
        amount: i64,
    },
    /// By whoever may.
    Payout {
        payout: usize,
        command: PayoutCommand,
    },
    /// The effects worker comes by, perhaps not for the first time.
    Charge {
        intent: usize,
        fate: Charge,
    },
    Refund {
        intent: usize,
        fate: GivingBack,
    },
    /// Somebody has what failed sent again.
    RetryRefunds,
    Remit {
        intent: usize,
        fate: Remittance,
    },
    /// The provider tells something, perhaps not for the first time.
    Webhook {
        notice: usize,
    },
    /// The effects worker asks the provider, and tells what it hears, with no receipt.
    Ask {
        notice: usize,
    },
    /// The next event is told; `again` some earlier one.
    Tell {
        again: Option<usize>,
    },
    Dispatch {
        step: usize,
        outcome_is_lost: bool,
    },
    Fire {
        timer: usize,
    },
    Wait {
        millis: i64,
    },
}

fn contract_moves() -> impl Strategy<Value = Move> {
    let note = sealed(kofi(), "a note");
    let (done, other) = (note.clone(), note);
    let milestone = || 1..3_u32;
    let by_client = prop_oneof![
        8 => milestone().prop_map(|milestone| ContractCommand::RequestFunding { milestone }),
        2 => milestone()
            .prop_map(move |milestone| ContractCommand::RequestChanges { milestone, note: other.clone() }),
        3 => milestone().prop_map(|milestone| ContractCommand::Approve { milestone }),
        1 => Just(ContractCommand::Cancel),
    ];
    let by_worker =
        milestone().prop_map(move |milestone| ContractCommand::SubmitWork { milestone, note: done.clone() });
    prop_oneof![
        3 => by_client.prop_map(|command| Move::Contract { command, actor: client(ama()) }),
        1 => by_worker.prop_map(|command| Move::Contract { command, actor: worker(kofi()) }),
    ]
}

/// Where a story begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beginning {
    /// Both have signed a moment ago.
    Signed,
    /// The first milestone was paid for, and the money can be spent.
    Earned,
    /// The first milestone was paid for a moment ago, and nobody was told yet: whatever is done to the contract now, the
    /// money is there.
    Paid,
}

/// Where it begins, and what happens then.
pub(super) fn moves() -> impl Strategy<Value = (Beginning, Vec<Move>)> {
    let beginnings = select(vec![Beginning::Signed, Beginning::Earned, Beginning::Earned, Beginning::Paid]);
    let some = || 0..100_usize;
    let charges = select(vec![
        Charge::Declined,
        Charge::Confirmed,
        Charge::ConfirmedByTheBook,
        Charge::ConfirmedAfterAll,
    ]);
    let remittances = select(vec![Remittance::Paid, Remittance::Failed, Remittance::Returned]);
    let on_payouts = select(vec![PayoutCommand::Cancel, PayoutCommand::Approve, PayoutCommand::Reject]);
    let waits = prop_oneof![
        4 => 0..20 * MINUTE_MS,
        1 => Just(60 * MINUTE_MS),
        1 => Just(6 * DAY_MS),
        1 => Just(15 * DAY_MS),
    ];
    let one = prop_oneof![
        6 => contract_moves(),
        5 => some().prop_map(|payment| Move::Attempt { payment }),
        1 => some().prop_map(|payment| Move::CancelPayment { payment }),
        3 => select(vec![1_i64, 3_000, 9_000, 27_000]).prop_map(|amount| Move::RequestPayout { amount }),
        2 => (some(), on_payouts).prop_map(|(payout, command)| Move::Payout { payout, command }),
        5 => (some(), charges).prop_map(|(intent, fate)| Move::Charge { intent, fate }),
        1 => (some(), select(vec![GivingBack::Paid, GivingBack::Failed]))
            .prop_map(|(intent, fate)| Move::Refund { intent, fate }),
        1 => Just(Move::RetryRefunds),
        2 => (some(), remittances).prop_map(|(intent, fate)| Move::Remit { intent, fate }),
        6 => some().prop_map(|notice| Move::Webhook { notice }),
        2 => some().prop_map(|notice| Move::Ask { notice }),
        14 => proptest::option::weighted(0.2, some()).prop_map(|again| Move::Tell { again }),
        12 => (some(), any::<bool>())
            .prop_map(|(step, outcome_is_lost)| Move::Dispatch { step, outcome_is_lost }),
        2 => some().prop_map(|timer| Move::Fire { timer }),
        3 => waits.prop_map(|millis| Move::Wait { millis }),
        // Now and then the machine catches up.
        4 => Just(Move::Tell { again: Some(usize::MAX) }),
    ];
    (beginnings, vec(one, 0..150))
}

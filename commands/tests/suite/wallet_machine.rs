//! Whatever is asked of a wallet, in whatever order: nobody spends what is not there, and every unit is somewhere.

use std::collections::BTreeSet;

use commands::{
    Policy,
    wallet::{Wallet, WalletCommand},
};
use events::{
    Money,
    vocabulary::payments::{CreditSource, HoldReason, WalletEvent},
};
use proptest::{collection::vec, prelude::*};

use super::{
    fixtures::*,
    machine::{Machine, explore},
};

fn commands() -> impl Strategy<Value = Vec<WalletCommand>> {
    let sources = prop_oneof![
        Just(CreditSource::Escrow { escrow: the_escrow() }),
        Just(CreditSource::Payout { payout: the_payout() }),
    ];
    let one = prop_oneof![
        (0..8_u128, 0..100_i64, sources).prop_map(|(number, amount, source)| WalletCommand::Credit {
            account: kofi(),
            transfer: transfer(number),
            amount: cedis(amount),
            source,
        }),
        (0..8_u128, 1..100_i64).prop_map(|(number, amount)| WalletCommand::Hold {
            hold: hold(number),
            amount: cedis(amount),
            reason: HoldReason::Payout { payout: the_payout() },
        }),
        (0..8_u128, any::<bool>()).prop_map(|(number, earned)| WalletCommand::ReleaseHold {
            hold: if earned { id(0x7000 + number) } else { hold(number) },
        }),
        (0..8_u128, 8..12_u128)
            .prop_map(|(number, of)| WalletCommand::Debit { hold: hold(number), transfer: transfer(of) }),
    ];
    vec(one, 1..60)
}

fn run(commands: Vec<WalletCommand>) -> Result<(), TestCaseError> {
    let mut machine = Machine::<Wallet>::new(Policy::default());
    for command in commands {
        let _ = machine.ask(&command, process());
        let wallet = &machine.state;
        let Some(available) = wallet.available() else { continue };
        prop_assert!(available.minor() >= 0, "nobody spends what is not there");
        let held = Money::sum(available.currency(), wallet.holds().map(|(_, amount)| amount));
        prop_assert_eq!(held.ok(), wallet.held());
        prop_assert_eq!(available.checked_add(held.expect("small")).ok(), wallet.posted());
    }
    let (mut posted, mut answered) = (0, BTreeSet::new());
    for event in &machine.history {
        let answer = match event {
            WalletEvent::WalletCredited(credited) => {
                posted += credited.amount.minor();
                format!("transfer {}", credited.transfer)
            }
            WalletEvent::WalletDebited(debited) => {
                posted -= debited.amount.minor();
                format!("transfer {}", debited.transfer)
            }
            WalletEvent::FundsHeld(held) => format!("hold {}", held.hold),
            WalletEvent::HoldDeclined(declined) => format!("hold {}", declined.hold),
            WalletEvent::HoldReleased(released) => format!("end of {}", released.hold),
        };
        prop_assert!(answered.insert(answer), "{event:?} is answered twice");
    }
    prop_assert_eq!(machine.state.posted().map_or(0, Money::minor), posted);
    machine.assert_folds()
}

#[test]
fn whatever_is_asked_of_a_wallet_its_rules_hold() {
    explore(400, &commands(), run);
}

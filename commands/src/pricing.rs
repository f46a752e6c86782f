//! A price and its parts: what a bid offers and a contract fixes.

use events::{Money, MoneyError, vocabulary::jobs::ProposedMilestone};

/// Why a price or its parts cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PricingError {
    AmountNotPositive,
    AmountTooLarge,
    CurrencyMismatch,
    MilestonesMissing,
    TooManyMilestones,
    MilestonesDoNotSum,
    TitleMissing,
}

/// A title has something other than blanks in it.
pub(crate) fn check_title(title: &str) -> Result<(), PricingError> {
    if title.trim().is_empty() { Err(PricingError::TitleMissing) } else { Ok(()) }
}

/// Between one and `max` milestones, every amount positive and in one currency, and the parts sum to the whole.
pub(crate) fn check_price(
    price: Money,
    milestones: &[ProposedMilestone],
    max: usize,
) -> Result<(), PricingError> {
    if milestones.is_empty() {
        return Err(PricingError::MilestonesMissing);
    }
    if milestones.len() > max {
        return Err(PricingError::TooManyMilestones);
    }
    if !price.is_positive() || milestones.iter().any(|milestone| !milestone.amount.is_positive()) {
        return Err(PricingError::AmountNotPositive);
    }
    milestones.iter().try_for_each(|milestone| check_title(&milestone.title))?;
    let sum = Money::sum(price.currency(), milestones.iter().map(|milestone| milestone.amount));
    match sum {
        Ok(sum) if sum == price => Ok(()),
        Ok(_) => Err(PricingError::MilestonesDoNotSum),
        Err(MoneyError::CurrencyMismatch) => Err(PricingError::CurrencyMismatch),
        Err(MoneyError::Overflow | MoneyError::UnknownCurrency | MoneyError::InvalidAmount) => {
            Err(PricingError::AmountTooLarge)
        }
    }
}

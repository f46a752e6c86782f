//! Money is exact: nothing is lost when it is summed, split, written or read, and what is not money is refused.

use std::fmt::Write as _;

use events::{Currency, Money, MoneyError};
use proptest::{prelude::*, sample::select};

/// Currencies of every exponent there is: 0, 2, 3, 4.
const CODES: [&str; 8] = ["JPY", "XOF", "GHS", "USD", "EUR", "KWD", "BHD", "CLF"];

fn currency(code: &str) -> Currency {
    code.parse().expect("a currency")
}

fn currencies() -> impl Strategy<Value = Currency> {
    select(CODES.map(currency).to_vec())
}

/// Small amounts, where roundings meet their ties, and amounts at the edges.
fn minors() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -20_000..20_000_i64,
        2 => any::<i64>(),
        1 => select(vec![0, 1, -1, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1]),
    ]
}

fn amounts() -> impl Strategy<Value = Money> {
    (minors(), currencies()).prop_map(|(minor, currency)| Money::new(minor, currency))
}

fn read(json: &str) -> Result<Money, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    // ---- splitting ----

    #[test]
    fn a_share_and_what_remains_are_the_whole(amount in amounts(), basis_points in 0..=10_000_u32) {
        let (share, rest) = amount.split_share(basis_points).expect("a share is no more than the whole");
        prop_assert_eq!(share.checked_add(rest), Ok(amount));
        prop_assert_eq!(share.currency(), amount.currency());
    }

    /// The nearest there is; of two that are equally near, the even one. That is true of one number only.
    #[test]
    fn a_share_is_the_nearest_and_of_two_the_even_one(amount in amounts(), basis_points in 0..=10_000_u32) {
        let (share, _) = amount.split_share(basis_points).expect("a share is no more than the whole");
        let exact_times_10_000 = i128::from(amount.minor()) * i128::from(basis_points);
        let twice_off = 2 * (i128::from(share.minor()) * 10_000 - exact_times_10_000).abs();
        prop_assert!(twice_off < 10_000 || (twice_off == 10_000 && share.minor() % 2 == 0));
    }

    #[test]
    fn a_share_is_nothing_or_all_at_the_ends(amount in amounts()) {
        let nothing = Money::zero(amount.currency());
        prop_assert_eq!(amount.split_share(0), Ok((nothing, amount)));
        prop_assert_eq!(amount.split_share(10_000), Ok((amount, nothing)));
    }

    #[test]
    fn a_debt_is_split_like_a_credit(minor in -1_000_000..1_000_000_i64, basis_points in 0..=10_000_u32) {
        let split = |minor| Money::new(minor, currency("GHS")).split_share(basis_points);
        let (credit, debt) = (split(minor).expect("fits"), split(-minor).expect("fits"));
        prop_assert_eq!((credit.0.minor(), credit.1.minor()), (-debt.0.minor(), -debt.1.minor()));
    }

    #[test]
    fn a_larger_part_is_no_smaller_share(minor in 0..i64::MAX, lower in 0..=10_000_u32, upper in 0..=10_000_u32) {
        let share = |basis_points| {
            let (share, _) = Money::new(minor, currency("KWD")).split_share(basis_points).expect("fits");
            share.minor()
        };
        let (lower, upper) = (lower.min(upper), lower.max(upper));
        prop_assert!(share(lower) <= share(upper));
    }

    /// Beyond the whole there may be no room; then it is said, never wrapped.
    #[test]
    fn a_share_beyond_the_whole_is_exact_or_refused(amount in amounts(), basis_points in 10_000..=u32::MAX) {
        match amount.split_share(basis_points) {
            Ok((share, rest)) => prop_assert_eq!(share.checked_add(rest), Ok(amount)),
            Err(error) => prop_assert_eq!(error, MoneyError::Overflow),
        }
    }

    // ---- reckoning ----

    #[test]
    fn sums_and_differences_are_exact_or_refused(a in minors(), b in minors(), currency in currencies()) {
        let (one, other) = (Money::new(a, currency), Money::new(b, currency));
        let exact = |value: i128| i64::try_from(value).map(|minor| Money::new(minor, currency));
        let sum = exact(i128::from(a) + i128::from(b)).map_err(|_| MoneyError::Overflow);
        let difference = exact(i128::from(a) - i128::from(b)).map_err(|_| MoneyError::Overflow);
        prop_assert_eq!(one.checked_add(other), sum);
        prop_assert_eq!(one.checked_sub(other), difference);
    }

    #[test]
    fn a_sum_of_many_is_the_sum(minors in proptest::collection::vec(-1_000_000..1_000_000_i64, 0..50)) {
        let currency = currency("JPY");
        let amounts = minors.iter().map(|minor| Money::new(*minor, currency));
        prop_assert_eq!(Money::sum(currency, amounts), Ok(Money::new(minors.iter().sum(), currency)));
    }

    #[test]
    fn nothing_is_exchanged_by_the_way(one in amounts(), other in amounts()) {
        prop_assume!(one.currency() != other.currency());
        prop_assert_eq!(one.checked_add(other), Err(MoneyError::CurrencyMismatch));
        prop_assert_eq!(one.checked_sub(other), Err(MoneyError::CurrencyMismatch));
        prop_assert_eq!(Money::sum(one.currency(), [other]), Err(MoneyError::CurrencyMismatch));
    }

    // ---- the wire ----

    #[test]
    fn what_is_written_is_read_back(amount in amounts()) {
        let written = serde_json::to_string(&amount).expect("writes");
        let (minor, code) = (amount.minor(), amount.currency().code());
        prop_assert_eq!(&written, &format!(r#"{{"amount":"{minor}","currency":"{code}"}}"#));
        prop_assert_eq!(read(&written), Ok(amount));
        let value: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        prop_assert_eq!(serde_json::from_value::<Money>(value).expect("reads"), amount);
        prop_assert_eq!(serde_json::from_reader::<_, Money>(written.as_bytes()).expect("reads"), amount);
    }

    /// An amount has one spelling; every other text is refused.
    #[test]
    fn a_text_is_read_only_as_it_would_be_written(text in "[+-]?[0-9]{0,20}|[0-9]{1,3}[.eE,_ ][0-9]{0,3}|.{0,4}") {
        let text = text.replace(['"', '\\'], "").replace(|c: char| c.is_control(), "");
        let json = format!(r#"{{"amount":"{text}","currency":"GHS"}}"#);
        let canonical = text.parse::<i64>().is_ok_and(|minor| minor.to_string() == text);
        prop_assert_eq!(read(&json).is_ok(), canonical, "{}", text);
    }

    #[test]
    fn a_number_is_refused_whole_or_not(minor in any::<i64>(), float in any::<f64>()) {
        let amount = |number: String| read(&format!(r#"{{"amount":{number},"currency":"GHS"}}"#));
        prop_assert!(amount(minor.to_string()).is_err());
        if float.is_finite() {
            let spelling = format!("{float:?}");
            prop_assert!(amount(spelling).is_err());
        }
    }

    /// For people: the exponent's digits behind the point, nothing lost.
    #[test]
    fn what_people_see_is_what_there_is(amount in amounts()) {
        let shown = amount.to_string();
        let (number, code) = shown.split_once(' ').expect("a number and a code");
        prop_assert_eq!(code, amount.currency().code());
        let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        prop_assert_eq!(u32::try_from(decimals), Ok(amount.currency().exponent()));
        prop_assert_eq!(number.replace('.', "").parse::<i64>(), Ok(amount.minor()));
    }
}

#[test]
fn ties_go_to_the_even_neighbour() {
    let share = |minor, basis_points| {
        let (share, rest) = Money::new(minor, currency("GHS")).split_share(basis_points).expect("fits");
        (share.minor(), rest.minor())
    };
    // Half of 1, 3, 5, 7: 0.5, 1.5, 2.5, 3.5.
    assert_eq!([1, 3, 5, 7].map(|minor| share(minor, 5_000)), [(0, 1), (2, 1), (2, 3), (4, 3)]);
    assert_eq!([-1, -3, -5, -7].map(|minor| share(minor, 5_000)), [(0, -1), (-2, -1), (-2, -3), (-4, -3)]);
    // A fee of 12.5 %: just below and just above a tie there is no doubt.
    assert_eq!([4, 12, 20].map(|minor| share(minor, 1_250)), [(0, 4), (2, 10), (2, 18)]);
    assert_eq!(
        [share(10_049, 100), share(10_050, 100), share(10_051, 100)].map(|(fee, _)| fee),
        [100, 100, 101]
    );
    assert_eq!(share(10_150, 100).0, 102);
}

#[test]
fn a_share_that_does_not_fit_is_refused() {
    let most = Money::new(i64::MAX, currency("GHS"));
    assert_eq!(most.split_share(10_001), Err(MoneyError::Overflow));
    assert_eq!(Money::new(i64::MIN, currency("GHS")).split_share(20_000), Err(MoneyError::Overflow));
}

#[test]
fn the_exponent_is_that_of_the_currency() {
    let shown = [("JPY", 1_050), ("GHS", 1_050), ("KWD", 1_050), ("CLF", 1_050)]
        .map(|(code, minor)| Money::new(minor, currency(code)).to_string());
    assert_eq!(shown, ["1050 JPY", "10.50 GHS", "1.050 KWD", "0.1050 CLF"]);
    let small = [5, -5, 0, -1_005].map(|minor| Money::new(minor, currency("GHS")).to_string());
    assert_eq!(small, ["0.05 GHS", "-0.05 GHS", "0.00 GHS", "-10.05 GHS"]);
    assert_eq!(Money::new(i64::MIN, currency("GHS")).to_string(), "-92233720368547758.08 GHS");
}

#[test]
fn what_only_looks_like_an_amount_is_refused() {
    let too_large = (i128::from(i64::MAX) + 1).to_string();
    let too_small = (i128::from(i64::MIN) - 1).to_string();
    let texts =
        ["", " ", "+1", "01", "-01", "00", "-0", "1.0", "1.", ".5", "1e3", "1_000", "1,000", " 1", "1 "];
    let others = ["0x10", "NaN", "Infinity", "١٢", "½", &too_large, &too_small];
    for text in texts.into_iter().chain(others) {
        let refused = read(&format!(r#"{{"amount":"{text}","currency":"GHS"}}"#));
        let why = refused.expect_err(text);
        assert!(why.contains("not a whole number of minor units"), "{text}: {why}");
    }
    for value in ["1050", "10.5", "1e3", "null", "true", "[]", "{}"] {
        assert!(read(&format!(r#"{{"amount":{value},"currency":"GHS"}}"#)).is_err(), "{value}");
    }
    assert_eq!(read(r#"{"amount":"-5","currency":"GHS"}"#), Ok(Money::new(-5, currency("GHS"))));
}

#[test]
fn what_is_no_currency_is_refused() {
    // Unknown, retired, metals, funds without minor units, testing, and other spellings.
    for code in
        ["ZZZ", "", "GH", "GHSS", "ghs", "Ghs", " GHS", "936", "€", concat!("XX", "X"), "XTS", "XAU", "XDR"]
    {
        assert_eq!(code.parse::<Currency>(), Err(MoneyError::UnknownCurrency), "{code}");
        let why = read(&format!(r#"{{"amount":"1","currency":"{code}"}}"#)).expect_err(code);
        assert!(why.contains("unknown currency"), "{code}: {why}");
    }
}

#[test]
fn money_is_two_fields_and_no_more() {
    let bodies = [
        r#"{"amount":"1"}"#,
        r#"{"currency":"GHS"}"#,
        r#"{"amount":"1","currency":"GHS","rate":"2"}"#,
        r#"{"amount":"1","amount":"2","currency":"GHS"}"#,
        r#""1 GHS""#,
        "1",
        "null",
    ];
    for body in bodies {
        assert!(read(body).is_err(), "{body}");
    }
}

#[test]
fn an_escaped_amount_is_the_same_amount() {
    let mut escaped = String::new();
    "1050".chars().for_each(|digit| write!(escaped, "\\u{:04x}", u32::from(digit)).expect("writes"));
    let body = format!(r#"{{"amount":"{escaped}","currency":"GHS"}}"#);
    assert_eq!(read(&body), Ok(Money::new(1_050, currency("GHS"))));
}

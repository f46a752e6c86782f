//! The log on a real Kafka: under the contract, beside other processes, where it must refuse, without its brokers, and as
//! strangers see it.

mod away;
mod brokers;
mod contract;
mod foreign;
mod groups;
mod refusals;
mod running;
mod several;
mod stack;
mod support;
mod topics;
mod transfer;

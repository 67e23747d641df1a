//! Holds a decoded message against the dictionary.

use super::codec::{Message, number};
use super::dictionary::{self, Kind};

/// The first fault of a message: SessionRejectReason(373), the tag at fault (0 = none), text.
pub type Refusal = (u16, u32, &'static str);

/// Checks a message decoded from `bytes`: known type, known fields in the parts where they belong,
/// each once and with a value of the right form, groups as long as they say, nothing missing.
///
/// # Errors
/// The first fault, in the order of the fields.
pub fn validate(message: &Message, bytes: &[u8]) -> Result<(), Refusal> {
    match dictionary::message_position(message.message_type(bytes)) {
        Some(rule) => validate_as(rule, message, bytes),
        None => Err((11, 0, "Invalid MsgType")),
    }
}

/// [`validate`] against a rule, by its position in the dictionary.
pub(super) fn validate_as(rule: usize, message: &Message, bytes: &[u8]) -> Result<(), Refusal> {
    let fields = message.fields();
    let places = dictionary::places(rule);
    let mut part = 0;
    let mut required = 0;
    let mut at = 0;
    while at < fields.len() {
        let field = &fields[at];
        let tag = field.tag;
        let value = message.value(bytes, field);
        let Some(position) = dictionary::position(tag) else {
            return Err((0, tag, "Invalid tag number"));
        };
        let field_rule = &dictionary::FIELDS[position];
        if value.is_empty() {
            return Err((4, tag, "Tag specified without a value"));
        }
        let place = places[position];
        if place.part() < part {
            return Err((14, tag, "Tag specified out of required order"));
        }
        part = place.part();
        if place.is_nowhere() {
            return Err((2, tag, "Tag not defined for this message type"));
        }
        if message.repeats(at) {
            return Err((13, tag, "Tag appears more than once"));
        }
        required += usize::from(place.is_required());
        if !field_rule.has_form(value) {
            return Err((6, tag, "Incorrect data format for value"));
        }
        if !field_rule.allows(value) {
            return Err((5, tag, "Value is incorrect (out of range) for this tag"));
        }
        at += 1;
        if place.is_group() {
            let groups = dictionary::MESSAGES[rule].groups;
            let group = groups.iter().find(|group| group.count == tag);
            debug_assert!(field_rule.kind == Kind::Count);
            if let Some(group) = group {
                at = entries(group, number(value).unwrap_or(0), message, bytes, at)?;
            }
        }
    }
    let expected = dictionary::MESSAGES[rule].required;
    if required == dictionary::HEADER_REQUIRED.len() + expected.len() {
        return Ok(());
    }
    let missing = dictionary::HEADER_REQUIRED
        .iter()
        .chain(expected)
        .find(|tag| !fields.iter().any(|field| field.tag == **tag));
    match missing {
        Some(&tag) => Err((1, tag, "Required tag missing")),
        None => Ok(()),
    }
}

/// Walks the entries of a group; returns where they end.
fn entries(
    group: &dictionary::GroupRule,
    count: u64,
    message: &Message,
    bytes: &[u8],
    mut at: usize,
) -> Result<usize, Refusal> {
    let fields = message.fields();
    let wrong = (
        16,
        group.count,
        "Incorrect NumInGroup count for repeating group",
    );
    let mut found = 0;
    // Fields that the entry has had, by their place in the rule; groups behind them.
    let mut seen = 0u64;
    while at < fields.len() {
        let tag = fields[at].tag;
        let inner = group.groups.iter().position(|inner| inner.count == tag);
        let own = group.fields.iter().position(|own| *own == tag);
        let Some(place) = own.or_else(|| inner.map(|place| group.fields.len() + place)) else {
            break;
        };
        let value = message.value(bytes, &fields[at]);
        if value.is_empty() {
            return Err((4, tag, "Tag specified without a value"));
        }
        if place == 0 {
            found += 1;
            seen = 0;
        } else if found == 0 {
            return Err(wrong);
        }
        if seen >> place & 1 != 0 {
            return Err((13, tag, "Tag appears more than once"));
        }
        seen |= 1 << place;
        if let Some(rule) = dictionary::field(tag) {
            if !rule.has_form(value) {
                return Err((6, tag, "Incorrect data format for value"));
            }
            if !rule.allows(value) {
                return Err((5, tag, "Value is incorrect (out of range) for this tag"));
            }
        }
        at += 1;
        if let Some(inner) = inner {
            let count = number(value).unwrap_or(0);
            at = entries(&group.groups[inner], count, message, bytes, at)?;
        }
    }
    if found == count { Ok(at) } else { Err(wrong) }
}

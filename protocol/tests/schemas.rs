//! The two files that clients build from say what the code does: the SBE schema against the block
//! structs, the QuickFIX dictionary against the table that inbound messages are held against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use roxmltree::{Document, Node};
use trading_engine_protocol::binary::frame::{FrameHeader, HEADER};
use trading_engine_protocol::binary::{
    FRAME_LENGTH_MAX, SCHEMA_ID, STATUS_REPLACED, VERSION, message,
};
use trading_engine_protocol::fix::dictionary::{self, Kind};
use trading_engine_protocol::types::{
    KillScope, Liquidity, MassCancelScope, OrderStatus, OrderType, ProtectionLimit,
    QuoteCancelScope, QuoteStatus, Reason, Side, TimeInForce, TradingPhase,
};

fn text(name: &str) -> String {
    let path = format!("{}/schema/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn attribute<'a>(node: Node<'a, '_>, name: &str) -> &'a str {
    node.attribute(name)
        .unwrap_or_else(|| panic!("{node:?} has no {name}"))
}

fn number(node: Node<'_, '_>, name: &str) -> usize {
    attribute(node, name).parse().expect("a number")
}

fn elements<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children()
        .filter(move |child| child.has_tag_name(name) || child.tag_name().name() == name)
}

fn one<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> Node<'a, 'i> {
    elements(node, name)
        .next()
        .unwrap_or_else(|| panic!("no {name}"))
}

fn width(primitive: &str) -> usize {
    match primitive {
        "uint8" | "int8" | "char" => 1,
        "uint16" => 2,
        "uint32" => 4,
        "uint64" | "int64" => 8,
        other => panic!("primitive type {other}"),
    }
}

type Sizes = BTreeMap<String, usize>;
type Enums = BTreeMap<String, Vec<(String, u64)>>;

/// Bytes of each declared type, and the values of each enum.
fn types(schema: Node<'_, '_>) -> (Sizes, Enums) {
    let mut sizes = BTreeMap::new();
    let mut enums = BTreeMap::new();
    let own = |node: Node<'_, '_>| {
        if node.attribute("presence") == Some("constant") {
            return 0;
        }
        let length = node
            .attribute("length")
            .map_or(1, |length| length.parse().expect("a length"));
        width(attribute(node, "primitiveType")) * length
    };
    for node in one(schema, "types").children().filter(Node::is_element) {
        let name = attribute(node, "name").to_owned();
        let size = match node.tag_name().name() {
            "type" => own(node),
            "composite" => elements(node, "type").map(own).sum(),
            "enum" => {
                let values = elements(node, "validValue").map(|value| {
                    let number = value.text().expect("a value").parse().expect("a number");
                    (attribute(value, "name").to_owned(), number)
                });
                enums.insert(name.clone(), values.collect());
                width(attribute(node, "encodingType"))
            }
            other => panic!("element {other}"),
        };
        sizes.insert(name, size);
    }
    (sizes, enums)
}

fn camel(snake: &str) -> String {
    let mut out = String::new();
    for (at, part) in snake.split('_').enumerate() {
        let (first, rest) = part.split_at(1);
        out.push_str(&if at == 0 {
            first.to_owned()
        } else {
            first.to_uppercase()
        });
        out.push_str(rest);
    }
    out
}

#[test]
fn every_block_lies_as_the_sbe_schema_says() {
    let text = text("binary.xml");
    let document = Document::parse(&text).expect("XML");
    let schema = document.root_element();
    assert_eq!(number(schema, "id"), usize::from(SCHEMA_ID));
    assert_eq!(number(schema, "version"), usize::from(VERSION));
    assert_eq!(attribute(schema, "byteOrder"), "littleEndian");
    let (sizes, _) = types(schema);
    assert_eq!(sizes["messageHeader"], HEADER);
    assert_eq!(sizes["messageHeader"], size_of::<FrameHeader>());

    let messages: Vec<Node<'_, '_>> = elements(schema, "message").collect();
    assert_eq!(messages.len(), message::ALL.len());
    for (node, ((name, template, length), (_, fields))) in messages
        .iter()
        .zip(message::ALL.iter().zip(message::FIELDS))
    {
        assert_eq!(attribute(*node, "name"), *name);
        assert_eq!(number(*node, "id"), usize::from(*template), "{name}");
        assert_eq!(number(*node, "blockLength"), *length, "{name}");
        assert!(HEADER + length <= FRAME_LENGTH_MAX, "{name}");
        assert_places(*node, fields, &sizes);
        let groups: Vec<Node<'_, '_>> = elements(*node, "group").collect();
        let real: Vec<_> = message::GROUPS
            .iter()
            .filter(|(message, ..)| message == name)
            .collect();
        assert_eq!(groups.len(), real.len(), "{name}");
        for (node, (_, group, length, fields)) in groups.iter().zip(real) {
            assert_eq!(attribute(*node, "name"), *group);
            assert_eq!(attribute(*node, "dimensionType"), "groupSizeEncoding");
            assert_eq!(number(*node, "blockLength"), *length, "{name}.{group}");
            assert_places(*node, fields, &sizes);
        }
    }
    assert_eq!(
        sizes["groupSizeEncoding"],
        size_of::<message::GroupHeader>()
    );
}

/// The fields of a block or of a group's entry.
fn assert_places(node: Node<'_, '_>, fields: &[message::FieldPlace], sizes: &Sizes) {
    let name = attribute(node, "name");
    let stated: Vec<(String, usize, usize)> = elements(node, "field")
        .map(|field| {
            let size = sizes[attribute(field, "type")];
            let place = number(field, "offset");
            (attribute(field, "name").to_owned(), place, size)
        })
        .collect();
    let real: Vec<(String, usize, usize)> = fields
        .iter()
        .map(|(field, offset, size)| (camel(field), *offset, *size))
        .collect();
    assert_eq!(stated, real, "{name}");
    let ids: BTreeSet<usize> = elements(node, "field")
        .map(|field| number(field, "id"))
        .collect();
    assert_eq!(ids.len(), real.len(), "{name}: field ids differ");
}

fn values<T: Copy + Debug>(all: &[T], code: impl Fn(T) -> u64) -> Vec<(String, u64)> {
    all.iter()
        .map(|&value| (format!("{value:?}"), code(value)))
        .collect()
}

#[test]
fn every_enum_has_the_values_of_the_sbe_schema() {
    let text = text("binary.xml");
    let document = Document::parse(&text).expect("XML");
    let (_, enums) = types(document.root_element());
    let byte = u64::from;
    assert_eq!(enums["Side"], values(Side::ALL, |v| byte(v.as_u8())));
    assert_eq!(
        enums["OrdType"],
        values(OrderType::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["TimeInForce"],
        values(TimeInForce::ALL, |v| byte(v.as_u8()))
    );
    // What no order is, and an id can be.
    let mut statuses = values(OrderStatus::ALL, |v| byte(v.as_u8()));
    statuses.push(("Replaced".into(), byte(STATUS_REPLACED)));
    statuses.sort_by_key(|(_, code)| *code);
    assert_eq!(enums["OrdStatus"], statuses);
    assert_eq!(
        enums["Liquidity"],
        values(Liquidity::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["QuoteStatus"],
        values(QuoteStatus::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["MassCancelScope"],
        values(MassCancelScope::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["QuoteCancelScope"],
        values(QuoteCancelScope::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["TradingPhase"],
        values(TradingPhase::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["KillScope"],
        values(KillScope::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["ProtectionLimit"],
        values(ProtectionLimit::ALL, |v| byte(v.as_u8()))
    );
    assert_eq!(
        enums["Reason"],
        values(Reason::ALL, |v| u64::from(v.code()))
    );
}

/// What a QuickFIX type is to us.
fn kind(name: &str) -> Kind {
    match name {
        "STRING" | "MULTIPLEVALUESTRING" | "CURRENCY" | "EXCHANGE" | "MONTHYEAR" => Kind::Text,
        "CHAR" => Kind::Char,
        "INT" => Kind::Int,
        "SEQNUM" | "LENGTH" => Kind::Unsigned,
        "FLOAT" | "PRICE" | "QTY" => Kind::Float,
        "BOOLEAN" => Kind::Boolean,
        "UTCTIMESTAMP" => Kind::Timestamp,
        "LOCALMKTDATE" => Kind::Date,
        "DATA" => Kind::Data,
        "NUMINGROUP" => Kind::Count,
        other => panic!("type {other}"),
    }
}

#[test]
fn the_quickfix_dictionary_is_the_table_that_messages_are_held_against() {
    let text = text("FIX44-trading-engine.xml");
    let document = Document::parse(&text).expect("XML");
    let fix = document.root_element();
    assert_eq!(
        (attribute(fix, "major"), attribute(fix, "minor")),
        ("4", "4")
    );

    let mut tags = BTreeMap::new();
    let fields: Vec<Node<'_, '_>> = elements(one(fix, "fields"), "field").collect();
    assert_eq!(fields.len(), dictionary::FIELDS.len());
    for (node, rule) in fields.iter().zip(dictionary::FIELDS) {
        assert_eq!(number(*node, "number"), rule.tag as usize);
        assert_eq!(attribute(*node, "name"), rule.name);
        assert_eq!(kind(attribute(*node, "type")), rule.kind, "{}", rule.name);
        let values: Vec<&str> = elements(*node, "value")
            .map(|value| attribute(value, "enum"))
            .collect();
        assert_eq!(values, rule.values, "{}", rule.name);
        tags.insert(rule.name, rule.tag);
    }
    let tag = |node: Node<'_, '_>| tags[attribute(node, "name")];
    let split = |node: Node<'_, '_>| {
        let (required, optional): (Vec<_>, Vec<_>) =
            elements(node, "field").partition(|field| attribute(*field, "required") == "Y");
        let list = |fields: Vec<Node<'_, '_>>| fields.into_iter().map(tag).collect::<Vec<u32>>();
        (list(required), list(optional))
    };
    let sorted = |tags: &[u32]| tags.iter().copied().collect::<BTreeSet<u32>>();

    let (required, optional) = split(one(fix, "header"));
    assert_eq!(sorted(&required), sorted(dictionary::HEADER_REQUIRED));
    let all: Vec<u32> = required.iter().chain(&optional).copied().collect();
    assert_eq!(sorted(&all), sorted(dictionary::HEADER));
    let (required, optional) = split(one(fix, "trailer"));
    let all: Vec<u32> = required.iter().chain(&optional).copied().collect();
    assert_eq!(sorted(&all), sorted(dictionary::TRAILER));

    let messages: Vec<Node<'_, '_>> = elements(one(fix, "messages"), "message").collect();
    assert_eq!(messages.len(), dictionary::MESSAGES.len());
    for (node, rule) in messages.iter().zip(dictionary::MESSAGES) {
        assert_eq!(attribute(*node, "msgtype"), rule.message_type);
        assert_eq!(attribute(*node, "name"), rule.name);
        let (required, optional) = split(*node);
        assert_eq!(required, rule.required, "{}", rule.name);
        assert_eq!(optional, rule.optional, "{}", rule.name);
        assert_groups(*node, rule.groups, &tag);
    }
}

fn assert_groups(
    node: Node<'_, '_>,
    rules: &[dictionary::GroupRule],
    tag: &impl Fn(Node<'_, '_>) -> u32,
) {
    let groups: Vec<Node<'_, '_>> = elements(node, "group").collect();
    assert_eq!(groups.len(), rules.len(), "{}", attribute(node, "name"));
    for (group, rule) in groups.iter().zip(rules) {
        assert_eq!(tag(*group), rule.count);
        let fields: Vec<u32> = elements(*group, "field").map(tag).collect();
        assert_eq!(fields, rule.fields);
        assert_groups(*group, rule.groups, tag);
    }
}

//! The session dictionary: which fields a message may have, which it must have, and what their
//! values look like. The XML in `schema/` says the same to clients; a test compares the two.

/// What a field's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text without separators.
    Text,
    /// One character.
    Char,
    /// Digits, optionally with a minus sign.
    Int,
    /// Digits only.
    Unsigned,
    /// A decimal.
    Float,
    /// Y or N.
    Boolean,
    /// UTCTimestamp.
    Timestamp,
    /// Eight digits.
    Date,
    /// Bytes, announced by a length field.
    Data,
    /// Number of entries of a repeating group.
    Count,
}

/// A field.
#[derive(Clone, Copy, Debug)]
pub struct FieldRule {
    /// Tag.
    pub tag: u32,
    /// Name in the standard.
    pub name: &'static str,
    /// Kind of value.
    pub kind: Kind,
    /// Values allowed, empty = any.
    pub values: &'static [&'static str],
    /// Those of them that are one character, by its code.
    characters: u128,
}

/// A repeating group of a message.
#[derive(Clone, Copy, Debug)]
pub struct GroupRule {
    /// The count field.
    pub count: u32,
    /// Fields of an entry; the first one begins it.
    pub fields: &'static [u32],
    /// Groups of an entry.
    pub groups: &'static [Self],
}

/// A message.
#[derive(Clone, Copy, Debug)]
pub struct MessageRule {
    /// MsgType(35).
    pub message_type: &'static str,
    /// Name in the standard.
    pub name: &'static str,
    /// Body fields that must be there.
    pub required: &'static [u32],
    /// Body fields that may be there.
    pub optional: &'static [u32],
    /// Groups.
    pub groups: &'static [GroupRule],
    /// A client may send it.
    pub inbound: bool,
}

macro_rules! fields {
    ($($tag:literal $name:ident $kind:ident $([$($value:literal)+])?;)+) => {
        /// Every field, ascending.
        pub const FIELDS: &[FieldRule] = &[$(FieldRule {
            tag: $tag,
            name: stringify!($name),
            kind: Kind::$kind,
            values: &[$($($value,)+)?],
            characters: characters(&[$($($value,)+)?]),
        },)+];
    };
}

fields! {
    1 Account Text;
    6 AvgPx Float;
    7 BeginSeqNo Unsigned;
    8 BeginString Text;
    9 BodyLength Unsigned;
    10 CheckSum Text;
    11 ClOrdID Text;
    14 CumQty Float;
    15 Currency Text;
    16 EndSeqNo Unsigned;
    17 ExecID Text;
    18 ExecInst Text;
    19 ExecRefID Text;
    21 HandlInst Char ["1" "2" "3"];
    31 LastPx Float;
    32 LastQty Float;
    34 MsgSeqNum Unsigned;
    35 MsgType Text;
    36 NewSeqNo Unsigned;
    37 OrderID Text;
    38 OrderQty Float;
    39 OrdStatus Char ["0" "1" "2" "4" "5" "8" "C"];
    40 OrdType Char ["1" "2" "3" "4" "6" "7" "8" "9" "D" "E" "G" "I" "J" "K" "L" "M" "P"];
    41 OrigClOrdID Text;
    43 PossDupFlag Boolean;
    44 Price Float;
    45 RefSeqNum Unsigned;
    48 SecurityID Text;
    49 SenderCompID Text;
    50 SenderSubID Text;
    52 SendingTime Timestamp;
    54 Side Char ["1" "2" "3" "4" "5" "6" "7" "8" "9" "A" "B" "C" "D" "E" "F" "G"];
    55 Symbol Text;
    56 TargetCompID Text;
    57 TargetSubID Text;
    58 Text Text;
    59 TimeInForce Char ["0" "1" "2" "3" "4" "5" "6" "7"];
    60 TransactTime Timestamp;
    89 Signature Data;
    90 SecureDataLen Unsigned;
    91 SecureData Data;
    93 SignatureLength Unsigned;
    95 RawDataLength Unsigned;
    96 RawData Data;
    97 PossResend Boolean;
    98 EncryptMethod Int ["0"];
    99 StopPx Float;
    102 CxlRejReason Int ["0" "1" "2" "3" "4" "5" "6" "99"];
    103 OrdRejReason Int;
    108 HeartBtInt Int;
    110 MinQty Float;
    111 MaxFloor Float;
    112 TestReqID Text;
    115 OnBehalfOfCompID Text;
    116 OnBehalfOfSubID Text;
    117 QuoteID Text;
    122 OrigSendingTime Timestamp;
    123 GapFillFlag Boolean;
    126 ExpireTime Timestamp;
    128 DeliverToCompID Text;
    129 DeliverToSubID Text;
    132 BidPx Float;
    133 OfferPx Float;
    134 BidSize Float;
    135 OfferSize Float;
    141 ResetSeqNumFlag Boolean;
    142 SenderLocationID Text;
    143 TargetLocationID Text;
    144 OnBehalfOfLocationID Text;
    145 DeliverToLocationID Text;
    150 ExecType Char ["0" "4" "5" "8" "C" "D" "F" "G" "H" "I" "L"];
    151 LeavesQty Float;
    167 SecurityType Text ["CS" "PS" "FUT" "OPT" "CORP" "GO" "MF" "NONE" "WAR" "FOR" "REPO" "TBILL"];
    200 MaturityMonthYear Text;
    207 SecurityExchange Text;
    210 MaxShow Float;
    211 PegOffsetValue Float;
    212 XmlDataLen Unsigned;
    213 XmlData Data;
    263 SubscriptionRequestType Char ["0" "1" "2"];
    295 NoQuoteEntries Count;
    296 NoQuoteSets Count;
    297 QuoteStatus Int ["0" "1" "4" "5" "6" "7"];
    298 QuoteCancelType Int ["1" "4"];
    299 QuoteEntryID Text;
    300 QuoteRejectReason Int;
    301 QuoteResponseLevel Int ["0" "1" "2"];
    302 QuoteSetID Text;
    304 TotNoQuoteEntries Int;
    324 SecurityStatusReqID Text;
    325 UnsolicitedIndicator Boolean;
    326 SecurityTradingStatus Int ["2" "5" "17" "18" "20" "21" "22"];
    335 TradSesReqID Text;
    336 TradingSessionID Text;
    338 TradSesMethod Int ["1" "2" "3"];
    339 TradSesMode Int ["1" "2" "3"];
    340 TradSesStatus Int ["0" "1" "2" "3" "4" "5" "6"];
    347 MessageEncoding Text;
    354 EncodedTextLen Unsigned;
    355 EncodedText Data;
    368 QuoteEntryRejectReason Int;
    369 LastMsgSeqNumProcessed Unsigned;
    371 RefTagID Int;
    372 RefMsgType Text;
    373 SessionRejectReason Int;
    378 ExecRestatementReason Int ["1" "5" "8" "12" "13" "99"];
    379 BusinessRejectRefID Text;
    380 BusinessRejectReason Int;
    383 MaxMessageSize Unsigned;
    386 NoTradingSessions Count;
    388 DiscretionInst Char;
    389 DiscretionOffsetValue Float;
    432 ExpireDate Date;
    434 CxlRejResponseTo Char ["1" "2"];
    447 PartyIDSource Char;
    448 PartyID Text;
    452 PartyRole Int;
    453 NoPartyIDs Count;
    460 Product Int;
    464 TestMessageIndicator Boolean;
    526 SecondaryClOrdID Text;
    528 OrderCapacity Char;
    529 OrderRestrictions Text;
    530 MassCancelRequestType Char ["1" "2" "3" "4" "5" "6" "7"];
    531 MassCancelResponse Char ["0" "1" "3" "7"];
    532 MassCancelRejectReason Text ["0" "1" "99"];
    533 TotalAffectedOrders Unsigned;
    553 Username Text;
    554 Password Text;
    567 TradSesStatusRejReason Int ["1" "99"];
    583 ClOrdLinkID Text;
    584 MassStatusReqID Text;
    585 MassStatusReqType Int ["1" "7"];
    625 TradingSessionSubID Text;
    789 NextExpectedMsgSeqNum Unsigned;
    790 OrdStatusReqID Text;
    851 LastLiquidityInd Int ["1" "2" "4"];
    880 TrdMatchID Text;
    911 TotNumReports Int;
    912 LastRptRequested Boolean;
    1138 DisplayQty Float;
    1167 QuoteEntryStatus Int ["0" "5" "6"];
    1385 ContingencyType Int;
    2362 SelfMatchPreventionID Text;
    2964 SelfMatchPreventionInstruction Char;
    9019 ProtectionGroup Unsigned;
    35002 CancelOnDisconnectType Int ["0" "1" "2" "3"];
    35003 CODTimeoutWindow Unsigned;
    35010 MassCancelScope Int ["1" "2" "3"];
    35011 MassCancelKinds Int ["1" "2"];
    35012 KillScope Int ["1" "2" "3" "4" "5"];
    35013 KillTarget Unsigned;
    35014 KillRelease Boolean;
    35016 ReasonCode Unsigned;
    35020 ProtectionQuantity Unsigned;
    35021 ProtectionNet Unsigned;
    35022 ProtectionFills Unsigned;
    35023 ProtectionWindow Unsigned;
    35024 ProtectionFreeze Unsigned;
    35025 FrozenUntil Timestamp;
    35026 Frozen Boolean;
    35027 WindowQuantity Unsigned;
    35028 WindowNet Int;
    35029 WindowFills Unsigned;
    35030 ProtectionLimit Int ["1" "2" "3" "4"];
    35031 CancelAfterTime Unsigned;
    35032 CancelAt Timestamp;
    35033 MessageBurst Unsigned;
    35034 MessageWindow Unsigned;
}

/// Fields of the standard header, whatever the message.
pub const HEADER: &[u32] = &[
    8, 9, 35, 34, 43, 49, 50, 52, 56, 57, 90, 91, 97, 115, 116, 122, 128, 129, 142, 143, 144, 145,
    212, 213, 347, 369,
];
/// Header fields that must be there.
pub const HEADER_REQUIRED: &[u32] = &[8, 9, 35, 34, 49, 52, 56];
/// Fields of the standard trailer.
pub const TRAILER: &[u32] = &[93, 89, 10];

const PARTIES: GroupRule = GroupRule {
    count: 453,
    fields: &[448, 447, 452],
    groups: &[],
};
const SESSIONS: GroupRule = GroupRule {
    count: 386,
    fields: &[336, 625],
    groups: &[],
};
const QUOTE_SETS: GroupRule = GroupRule {
    count: 296,
    fields: &[302, 304],
    groups: &[GroupRule {
        count: 295,
        fields: &[299, 55, 132, 133, 134, 135],
        groups: &[],
    }],
};
const QUOTE_SETS_ANSWERED: GroupRule = GroupRule {
    count: 296,
    fields: &[302, 304],
    groups: &[GroupRule {
        count: 295,
        fields: &[299, 55, 368, 1167, 58],
        groups: &[],
    }],
};
const QUOTED_SYMBOLS: GroupRule = GroupRule {
    count: 295,
    fields: &[55],
    groups: &[],
};

/// Every message this venue takes or sends.
pub const MESSAGES: &[MessageRule] = &[
    MessageRule {
        message_type: "0",
        name: "Heartbeat",
        required: &[],
        optional: &[112],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "1",
        name: "TestRequest",
        required: &[112],
        optional: &[],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "2",
        name: "ResendRequest",
        required: &[7, 16],
        optional: &[],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "3",
        name: "Reject",
        required: &[45],
        optional: &[371, 372, 373, 58, 354, 355],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "4",
        name: "SequenceReset",
        required: &[36],
        optional: &[123],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "5",
        name: "Logout",
        required: &[],
        optional: &[58, 354, 355],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "A",
        name: "Logon",
        required: &[98, 108],
        optional: &[
            95, 96, 141, 383, 464, 553, 554, 789, 35002, 35003, 35033, 35034,
        ],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "D",
        name: "NewOrderSingle",
        required: &[11, 54, 60, 40],
        optional: &[
            1, 15, 18, 21, 38, 44, 48, 55, 58, 59, 99, 110, 111, 126, 167, 200, 207, 210, 211, 354,
            355, 388, 389, 432, 526, 528, 529, 583, 1138, 1385, 2362, 2964, 9019,
        ],
        groups: &[PARTIES, SESSIONS],
        inbound: true,
    },
    MessageRule {
        message_type: "F",
        name: "OrderCancelRequest",
        required: &[41, 11, 54, 60],
        optional: &[1, 37, 38, 48, 55, 58, 167, 200, 207, 354, 355, 526],
        groups: &[PARTIES],
        inbound: true,
    },
    MessageRule {
        message_type: "G",
        name: "OrderCancelReplaceRequest",
        required: &[41, 11, 54, 60, 40],
        optional: &[
            1, 15, 18, 21, 37, 38, 44, 48, 55, 58, 59, 99, 110, 111, 126, 167, 200, 207, 210, 211,
            354, 355, 388, 389, 432, 526, 528, 529, 583, 1138, 1385, 2362, 2964, 9019,
        ],
        groups: &[PARTIES, SESSIONS],
        inbound: true,
    },
    MessageRule {
        message_type: "8",
        name: "ExecutionReport",
        required: &[37, 17, 150, 39, 55, 54, 151, 14, 6],
        optional: &[
            1, 11, 18, 19, 31, 32, 38, 40, 41, 44, 58, 59, 60, 99, 103, 110, 111, 117, 126, 299,
            302, 378, 584, 790, 851, 880, 911, 912, 9019,
        ],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "9",
        name: "OrderCancelReject",
        required: &[37, 11, 41, 39, 434],
        optional: &[58, 60, 102],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "q",
        name: "OrderMassCancelRequest",
        required: &[11, 530, 60],
        optional: &[1, 54, 55, 58, 460, 9019, 35010, 35011],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "r",
        name: "OrderMassCancelReport",
        required: &[37, 530, 531],
        optional: &[1, 11, 54, 55, 58, 60, 460, 532, 533, 9019, 35010, 35011],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "H",
        name: "OrderStatusRequest",
        required: &[],
        optional: &[1, 11, 37, 54, 55, 790],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "AF",
        name: "OrderMassStatusRequest",
        required: &[584, 585],
        optional: &[54, 55],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "i",
        name: "MassQuote",
        required: &[117],
        optional: &[1, 18, 60, 301, 2362, 2964, 9019],
        groups: &[QUOTE_SETS],
        inbound: true,
    },
    MessageRule {
        message_type: "b",
        name: "MassQuoteAcknowledgement",
        required: &[117, 297],
        optional: &[1, 58, 60, 300, 301, 9019],
        groups: &[QUOTE_SETS_ANSWERED],
        inbound: false,
    },
    MessageRule {
        message_type: "Z",
        name: "QuoteCancel",
        required: &[117, 298],
        optional: &[60, 302, 9019],
        groups: &[QUOTED_SYMBOLS],
        inbound: true,
    },
    MessageRule {
        message_type: "AI",
        name: "QuoteStatusReport",
        required: &[117, 297],
        optional: &[
            14, 37, 54, 55, 58, 60, 299, 302, 533, 9019, 35016, 35025, 35026, 35027, 35028, 35029,
            35030,
        ],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "U1",
        name: "KillSwitchRequest",
        required: &[11, 35012],
        optional: &[55, 60, 35013, 35014],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "U2",
        name: "KillSwitchReport",
        required: &[11, 37, 35012],
        optional: &[58, 60, 533, 35013, 35014, 35016],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "U3",
        name: "ProtectionConfigRequest",
        required: &[11, 9019, 35023],
        optional: &[60, 35020, 35021, 35022, 35024],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "U4",
        name: "ProtectionResetRequest",
        required: &[11, 9019],
        optional: &[60],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "U5",
        name: "ProtectionStatusReport",
        required: &[11, 9019, 35026],
        optional: &[
            58, 60, 35016, 35020, 35021, 35022, 35023, 35024, 35025, 35027, 35029,
        ],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "U6",
        name: "CancelAfterRequest",
        required: &[35031],
        optional: &[60],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "U7",
        name: "CancelAfterReport",
        required: &[45, 35016],
        optional: &[58, 60, 35032],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "e",
        name: "SecurityStatusRequest",
        required: &[55, 263, 324],
        optional: &[15, 48, 167, 200, 207, 336, 625],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "f",
        name: "SecurityStatus",
        required: &[55],
        optional: &[58, 60, 324, 325, 326, 336, 625],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "g",
        name: "TradingSessionStatusRequest",
        required: &[263, 335],
        optional: &[336, 338, 339, 625],
        groups: &[],
        inbound: true,
    },
    MessageRule {
        message_type: "h",
        name: "TradingSessionStatus",
        required: &[336, 340],
        optional: &[58, 325, 335, 567],
        groups: &[],
        inbound: false,
    },
    MessageRule {
        message_type: "j",
        name: "BusinessMessageReject",
        required: &[372, 380],
        optional: &[45, 58, 379],
        groups: &[],
        inbound: false,
    },
];

/// Message types of FIX 4.4 that exist and this venue does not take: answered by 35=j, not 35=3.
pub const KNOWN_ELSEWHERE: &[&str] = &[
    "6", "7", "8", "9", "B", "C", "E", "J", "K", "L", "M", "N", "P", "Q", "R", "S", "T", "V", "W",
    "X", "Y", "a", "b", "c", "d", "f", "h", "j", "k", "l", "m", "n", "o", "p", "r", "s", "t", "u",
    "v", "w", "x", "y", "z", "AA", "AB", "AC", "AD", "AE", "AG", "AH", "AI", "AJ", "AK", "AL",
    "AM", "AN", "AO", "AP", "AQ", "AR", "AS", "AT", "AU", "AV", "AW", "AX", "AY", "AZ", "BA", "BB",
    "BC", "BD", "BE", "BF", "BG", "BH",
];

/// Tags are looked up in a table of this size; the few beyond are the last of [`FIELDS`].
const TAGS: usize = 4096;

/// Position in [`FIELDS`] by tag, plus one.
static POSITIONS: [u8; TAGS] = {
    let mut positions = [0; TAGS];
    let mut at = 0;
    while at < FIELDS.len() {
        assert!(at < 255, "Invariant: a position fits a byte");
        if (FIELDS[at].tag as usize) < TAGS {
            positions[FIELDS[at].tag as usize] = at as u8 + 1;
        }
        at += 1;
    }
    positions
};

/// Position in [`FIELDS`].
#[inline]
pub(super) const fn position(tag: u32) -> Option<usize> {
    if (tag as usize) < TAGS {
        return match POSITIONS[tag as usize] {
            0 => None,
            at => Some(at as usize - 1),
        };
    }
    far_position(tag)
}

#[cold]
const fn far_position(tag: u32) -> Option<usize> {
    let mut at = FIELDS.len();
    while at > 0 && FIELDS[at - 1].tag as usize >= TAGS {
        at -= 1;
        if FIELDS[at].tag == tag {
            return Some(at);
        }
    }
    None
}

/// The rule of a field.
#[inline]
pub fn field(tag: u32) -> Option<&'static FieldRule> {
    position(tag).map(|at| &FIELDS[at])
}

/// What a field is to a message: its part in the low bits, then marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u8);

impl Place {
    const HEADER: Self = Self(0);
    const BODY: Self = Self(1);
    const TRAILER: Self = Self(2);
    const PART: u8 = 3;
    const REQUIRED: u8 = 4;
    const GROUP: u8 = 8;
    const NOWHERE: u8 = 16;

    /// Fields come in the order of their parts: header, body, trailer.
    #[inline(always)]
    pub(super) fn part(self) -> u8 {
        self.0 & Self::PART
    }

    /// It must be there; the trailer's CheckSum(10) always is.
    #[inline(always)]
    pub(super) fn is_required(self) -> bool {
        self.0 & Self::REQUIRED != 0
    }

    /// It is the count of a repeating group.
    #[inline(always)]
    pub(super) fn is_group(self) -> bool {
        self.0 & Self::GROUP != 0
    }

    /// It is not part of the message.
    #[inline(always)]
    pub(super) fn is_nowhere(self) -> bool {
        self.0 & Self::NOWHERE != 0
    }
}

/// [`Place`] of every field, by position, in every message, by position.
static PLACES: [[Place; FIELDS.len()]; MESSAGES.len()] = {
    let mut places = [[Place(Place::BODY.0 | Place::NOWHERE); FIELDS.len()]; MESSAGES.len()];
    let mut message = 0;
    while message < MESSAGES.len() {
        let rule = &MESSAGES[message];
        let row = &mut places[message];
        mark(row, rule.optional, Place::BODY);
        mark(row, rule.required, Place(Place::BODY.0 | Place::REQUIRED));
        let mut group = 0;
        while group < rule.groups.len() {
            let count = Place(Place::BODY.0 | Place::GROUP);
            mark(row, &[rule.groups[group].count], count);
            group += 1;
        }
        mark(row, HEADER, Place::HEADER);
        mark(row, HEADER_REQUIRED, Place(Place::REQUIRED));
        mark(row, TRAILER, Place::TRAILER);
        message += 1;
    }
    places
};

const fn mark(row: &mut [Place; FIELDS.len()], tags: &[u32], place: Place) {
    let mut at = 0;
    while at < tags.len() {
        let position = position(tags[at]);
        assert!(
            position.is_some(),
            "Invariant: a message has fields of the list"
        );
        if let Some(position) = position {
            row[position] = place;
        }
        at += 1;
    }
}

/// Position in [`MESSAGES`] by MsgType(35), plus one: of those that are one character.
static MESSAGE_POSITIONS: [u8; 128] = {
    let mut positions = [0; 128];
    let mut at = 0;
    while at < MESSAGES.len() {
        let message_type = MESSAGES[at].message_type.as_bytes();
        if message_type.len() == 1 {
            positions[message_type[0] as usize] = at as u8 + 1;
        }
        at += 1;
    }
    positions
};

/// Position of a message in [`MESSAGES`].
#[inline]
pub(super) fn message_position(message_type: &[u8]) -> Option<usize> {
    let [character] = message_type else {
        return long_message_position(message_type);
    };
    let at = *MESSAGE_POSITIONS.get(usize::from(*character))?;
    (at != 0).then(|| usize::from(at) - 1)
}

#[cold]
fn long_message_position(message_type: &[u8]) -> Option<usize> {
    MESSAGES
        .iter()
        .position(|rule| rule.message_type.as_bytes() == message_type)
}

/// The places of a message's fields, by position of both.
#[inline]
pub(super) fn places(message: usize) -> &'static [Place; FIELDS.len()] {
    &PLACES[message]
}

/// The rule of a message.
#[inline]
pub fn message(message_type: &[u8]) -> Option<&'static MessageRule> {
    message_position(message_type).map(|at| &MESSAGES[at])
}

impl FieldRule {
    /// Whether a value has the right form.
    #[inline]
    pub fn has_form(&self, value: &[u8]) -> bool {
        match self.kind {
            Kind::Text | Kind::Data => true,
            Kind::Char => value.len() == 1,
            Kind::Int => {
                let digits = value.strip_prefix(b"-").unwrap_or(value);
                super::codec::number(digits).is_some()
            }
            Kind::Unsigned | Kind::Count => super::codec::number(value).is_some(),
            Kind::Float => crate::types::is_float(value),
            Kind::Boolean => matches!(value, b"Y" | b"N"),
            Kind::Timestamp => super::codec::is_timestamp(value),
            Kind::Date => value.len() == 8 && super::codec::number(value).is_some(),
        }
    }

    /// Whether a value is one of those allowed.
    #[inline]
    pub fn allows(&self, value: &[u8]) -> bool {
        if self.values.is_empty() {
            return true;
        }
        if self.characters != 0
            && let [character] = value
        {
            return self.characters >> (character & 127) & u128::from(*character < 128) != 0;
        }
        self.values
            .iter()
            .any(|allowed| allowed.as_bytes() == value)
    }
}

/// The set of those values that are one ASCII character.
const fn characters(values: &[&str]) -> u128 {
    let (mut set, mut at) = (0, 0);
    while at < values.len() {
        let value = values[at].as_bytes();
        if value.len() == 1 && value[0] < 128 {
            set |= 1 << value[0];
        }
        at += 1;
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_sorted_and_closed() {
        assert!(FIELDS.windows(2).all(|pair| pair[0].tag < pair[1].tag));
        for rule in MESSAGES {
            let inner = rule.groups.iter().flat_map(|group| group.groups);
            let groups = rule
                .groups
                .iter()
                .chain(inner)
                .flat_map(|g| g.fields.iter().chain([&g.count]));
            for tag in rule.required.iter().chain(rule.optional).chain(groups) {
                assert!(field(*tag).is_some(), "{} has unknown tag {tag}", rule.name);
            }
        }
        for tag in HEADER.iter().chain(TRAILER) {
            assert!(field(*tag).is_some(), "{tag}");
        }
    }
}

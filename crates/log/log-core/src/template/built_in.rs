//! The templates that exist without being defined.

use super::{Segment, Template, TemplateQuoting, legacy};
use crate::Property;

const BUILT_IN: &[(&str, &str)] = &[
    (
        "RSYSLOG_FileFormat",
        "%TIMESTAMP:::date-rfc3339% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n",
    ),
    (
        "RSYSLOG_TraditionalFileFormat",
        "%TIMESTAMP% %HOSTNAME% %syslogtag%%msg:::sp-if-no-1st-sp%%msg:::drop-last-lf%\\n",
    ),
    (
        "RSYSLOG_ForwardFormat",
        "<%PRI%>%TIMESTAMP:::date-rfc3339% %HOSTNAME% %syslogtag:1:32%%msg:::sp-if-no-1st-sp%%msg%",
    ),
    (
        "RSYSLOG_TraditionalForwardFormat",
        "<%PRI%>%TIMESTAMP% %HOSTNAME% %syslogtag:1:32%%msg:::sp-if-no-1st-sp%%msg%",
    ),
    (
        "RSYSLOG_SyslogProtocol23Format",
        "<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% %APP-NAME% %PROCID% %MSGID% %STRUCTURED-DATA% %msg%\\n",
    ),
    (
        "RSYSLOG_WallFmt",
        "\\r\\n\\7Message from syslogd@%HOSTNAME% at %timegenerated% ...\\r\\n %syslogtag%%msg%\\n\\r",
    ),
    ("RSYSLOG_StdUsrMsgFmt", " %syslogtag%%msg%\\n\\r"),
    (
        "RSYSLOG_DebugFormat",
        "Debug line with all properties:\\nFROMHOST: '%FROMHOST%', fromhost-ip: '%fromhost-ip%', HOSTNAME: '%HOSTNAME%', \
         PRI: %PRI%,\\nsyslogtag '%syslogtag%', programname: '%programname%', APP-NAME: '%APP-NAME%', PROCID: '%PROCID%', \
         MSGID: '%MSGID%',\\nTIMESTAMP: '%TIMESTAMP%', STRUCTURED-DATA: '%STRUCTURED-DATA%',\\nmsg: '%msg%'\\nescaped msg: \
         '%msg:::drop-cc%'\\ninputname: %inputname% rawmsg: '%rawmsg%'\\n$!:\\n$.:\\n$/:\\n\\n",
    ),
];

/// The template whose STRUCTURED-DATA states the clock quality of records that originate here.
const QUALIFIED: &str = "RSYSLOG_SyslogProtocol23Format";

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

pub(super) fn template(name: &str) -> Option<Template> {
    let (name, text) = BUILT_IN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    let pieces = legacy::parse(text).ok()?;
    let mut segments: Vec<Segment> =
        pieces.into_iter().map(|piece| Segment::compile(piece, TemplateQuoting::None)).collect();
    // Unlike the option, the built-in templates separate an empty text too: rsyslog has code of its own for them.
    for segment in &mut segments {
        if matches!(segment, Segment::Shaped(spec) if spec.space_unless_leading) {
            *segment = Segment::SpaceUnlessLeading;
        }
    }
    if *name == QUALIFIED {
        for segment in &mut segments {
            if matches!(segment, Segment::Plain(Property::StructuredData)) {
                *segment = Segment::QualifiedStructuredData;
            }
        }
    }
    Some(Template::of_segments((*name).to_owned(), segments))
}

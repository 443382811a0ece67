//! What `banto time` says.

/// Everything that it says, in one language.
#[allow(missing_docs)] // each text says itself what it is for
pub struct TimeTexts {
    pub help: &'static str,
    pub clock: &'static str,
    pub clock_unsynchronised: &'static str,
    pub frequency: &'static str,
    pub frequency_measured: &'static str,
    pub gains: &'static str,
    pub loses: &'static str,
    pub asked: &'static str,
    pub sets: &'static str,
    pub measures: &'static str,
    pub no_known_points: &'static str,
    pub no_points: &'static str,
    pub plot_title: &'static str,
    pub plot_legend: &'static str,
    pub plot_offset: &'static str,
    pub plot_bound: &'static str,
    pub plot_unknown: &'static str,
    pub set_done: &'static str,
    pub set_wrong: &'static str,
    pub set_needs_time: &'static str,
    pub unknown_word: &'static str,
    pub unknown_option: &'static str,
    pub written: &'static str,
    pub set_help: &'static str,
    pub no_sources: &'static str,
    pub local_alone: &'static str,
    pub local_meanwhile: &'static str,
    pub unresolved: &'static str,
    pub selected: &'static str,
    pub selected_alone: &'static str,
    pub nothing: &'static str,
    pub held: &'static str,
    pub taken: &'static str,
    pub combined: &'static str,
    pub falseticker: &'static str,
    pub silent: &'static str,
    pub silent_key: &'static str,
    pub lacks_key: &'static str,
    pub wrong_key: &'static str,
    pub wrong_nts: &'static str,
    pub few: &'static str,
    pub offline: &'static str,
    pub distant: &'static str,
    pub jittery: &'static str,
    pub stratum: &'static str,
    pub noselect: &'static str,
    pub unpreferred: &'static str,
    pub not_combined: &'static str,
    pub waits: &'static str,
}

pub(super) static EN: TimeTexts = TimeTexts {
    help: "\
usage: banto [--dir DIR] time status [--json] | plot [--svg [FILE]] | set \"2025-01-01 00:00:00\" | explain

  status    how far off the clock is, and how sure that is; --json for programs
  plot      offset and error bound of the last day
            plot --svg > FILE, plot --svg FILE: a drawing for a browser
  set       steps the clock to a time; refused while a source is followed
  explain   why this source was chosen and the others were not

Where no house is named or up, the installed time daemon is asked.

exit codes: 0 done; 1 refused, or the daemon does not answer; 64 wrong command line
",
    clock: "offset {offset}, right within {bound}; follows {reference} (its stratum {its_stratum}; ours is {stratum})",
    clock_unsynchronised: "not synchronised: no source is followed",
    frequency: "the oscillator is {ppm} ppm off: by itself the clock {gains}, which is corrected",
    frequency_measured: "the oscillator is {ppm} ppm off: the clock {gains}",
    gains: "gains {seconds} s a day",
    loses: "loses {seconds} s a day",
    asked: "asked: the daemon at {socket}",
    sets: "this daemon sets the clock",
    measures: "this daemon measures the clock and never sets it",
    no_known_points: "nothing is known of the clock yet: of {count} points none says how far off it was; one comes every {seconds} s, and says it as soon as a source is followed",
    no_points: "nothing is known of the clock yet: there are no points, the daemon keeps one every {seconds} s",
    plot_title: "{host}: {from} to {to}, UTC (points: {count})",
    plot_legend: "* offset (up: the clock is fast)   : error bound   ? not known",
    plot_offset: "offset (up: the clock is fast, it shows a later time than it is)",
    plot_bound: "error bound",
    plot_unknown: "not known",
    set_done: "the clock was stepped by {seconds}",
    set_wrong: "`{text}` is no time",
    set_needs_time: "`banto time set` needs a time",
    unknown_word: "`{word}` is nothing that banto time does",
    unknown_option: "`{word}` is no option of banto time {verb}",
    written: "written: {file}",
    set_help: "banto time set \"2025-01-01 00:00:00\"",
    no_sources: "There is no source. chrony.conf names them: server ntp.example.net iburst",
    local_alone: "There is no source: `local` serves this clock as it is, as stratum {stratum}.",
    local_meanwhile: "Meanwhile `local` serves this clock as it is, as stratum {stratum}.",
    unresolved: "{name} has no address yet: the name server did not answer, or does not know it.",
    selected: "{name} is followed: of {count} that agree, its root distance of {distance} (its stratum {stratum}) is the best.",
    selected_alone: "{name} is followed: it is the only one that can be (root distance {distance}, its stratum {stratum}).",
    nothing: "Nothing is followed.",
    held: "Nothing can be followed at the moment: the clock goes on by what {name} said last.",
    taken: "{name} is not asked: every address of this name belongs to another source.",
    combined: "{name} is combined with it: it agrees, and its root distance of {distance} is near enough.",
    falseticker: "{name} is a falseticker: it says {offset} +/- {distance}, which does not agree with the majority.",
    silent: "{name} cannot be followed: it has not answered the last eight requests.",
    silent_key: "{name} cannot be followed: it has not answered the last eight requests with key {key}. A server that does not know this key answers nothing: compare line {key} of both key files first.",
    lacks_key: "{name} is not asked: key {key} is in no key file.",
    wrong_key: "{name} cannot be followed: replies to key {key} come back with a code that does not fit. Line {key} of both key files must be the same.",
    wrong_nts: "{name} cannot be followed: its replies do not fit the keys of NTS.",
    few: "{name} cannot be followed yet: {samples} measurements are too few.",
    offline: "{name} is not asked: it is offline. To ask it again: {online}",
    distant: "{name} cannot be followed: its root distance of {distance} exceeds maxdistance, {limit}.",
    jittery: "{name} cannot be followed: its jitter of {jitter} exceeds maxjitter, {limit}.",
    stratum: "{name} cannot be followed: its stratum {stratum} is not within minstratum and maxstratum, {limit}.",
    noselect: "{name} is only watched: it has the option noselect, or authselectmode gave it that.",
    unpreferred: "{name} is not used: others have the option prefer.",
    not_combined: "{name} agrees, but is not combined: its root distance of {distance} exceeds {limit} times that of the selected one.",
    waits: "{name} could be followed, but minsources asks for {count} that agree, or a required one is missing.",
};

pub(super) static JA: TimeTexts = TimeTexts {
    help: "\
使い方: banto [--dir DIR] time status [--json] | plot [--svg [FILE]] | set \"2025-01-01 00:00:00\" | explain

  status    時計のずれと、その確かさ。--json はプログラム用
  plot      この一日のずれと誤差の上限
            plot --svg > FILE、plot --svg FILE: ブラウザ用の図
  set       時計を指定の時刻に合わせます。時刻源に従っている間は断ります
  explain   なぜこの時刻源が選ばれ、他は選ばれなかったか

家が指定されず動いてもいなければ、インストールされた時計のデーモンに尋ねます。

終了コード: 0 完了; 1 断られた、またはデーモンが応答しない; 64 コマンドラインの誤り
",
    clock: "ずれ {offset}、誤差 {bound} 以内。{reference} (相手の stratum は {its_stratum}、こちらは {stratum}) に従っています",
    clock_unsynchronised: "同期していません: 従える時刻源がありません",
    frequency: "発振器のずれは {ppm} ppm です: ほうっておけば時計は{gains}が、補正しています",
    frequency_measured: "発振器のずれは {ppm} ppm です: 時計は{gains}",
    gains: "一日に {seconds} 秒進みます",
    loses: "一日に {seconds} 秒遅れます",
    asked: "尋ねた相手: {socket} のデーモン",
    sets: "このデーモンは時計を合わせます",
    measures: "このデーモンは時計を測るだけで、合わせません",
    no_known_points: "時計のことはまだ何も分かりません: {count} 個の点のどれにもずれがありません。点は {seconds} 秒ごとに増え、時刻源に従い始めるとずれが分かります",
    no_points: "時計のことはまだ何も分かりません: 点がなく、デーモンは {seconds} 秒ごとに一つ記録します",
    plot_title: "{host}: {count} 点、{from} から {to} まで (UTC)",
    plot_legend: "* ずれ (上: 時計が進んでいる)   : 誤差の上限   ? 不明",
    plot_offset: "ずれ (上: 時計が進んでいて、本当より後の時刻を示す)",
    plot_bound: "誤差の上限",
    plot_unknown: "不明",
    set_done: "時計を {seconds} 動かしました",
    set_wrong: "`{text}` は時刻ではありません",
    set_needs_time: "`banto time set` には時刻が要ります",
    unknown_word: "`{word}` は banto time のすることではありません",
    unknown_option: "`{word}` は banto time {verb} のオプションではありません",
    written: "書きました: {file}",
    set_help: "banto time set \"2025-01-01 00:00:00\"",
    no_sources: "時刻源がありません。chrony.conf に書きます: server ntp.example.net iburst",
    local_alone: "時刻源がありません。`local` がこの時計をそのまま stratum {stratum} として配っています。",
    local_meanwhile: "その間は `local` がこの時計をそのまま stratum {stratum} として配っています。",
    unresolved: "{name} のアドレスがまだ分かりません: ネームサーバが応答しないか、この名前を知りません。",
    selected: "{name} に従っています: 一致する {count} 個のうち、root distance {distance} (相手の stratum {stratum}) が最良です。",
    selected_alone: "{name} に従っています: 従えるのはこれだけです (root distance {distance}、相手の stratum {stratum})。",
    nothing: "どの時刻源にも従っていません。",
    held: "今は従える時刻源がありません。時計は {name} が最後に言ったとおりに進めています。",
    taken: "{name} には尋ねていません: この名前のアドレスはすべて他の時刻源のものです。",
    combined: "{name} は合成されています: 一致しており、root distance {distance} も十分近いためです。",
    falseticker: "{name} は falseticker です: {offset} +/- {distance} と言い、多数と一致しません。",
    silent: "{name} には従えません: 直近の 8 回の要求に応答していません。",
    silent_key: "{name} には従えません: 鍵 {key} を付けた直近の 8 回の要求に応答していません。この鍵を知らないサーバーは何も返しません。まず両方の鍵ファイルの {key} の行を比べてください。",
    lacks_key: "{name} には問い合わせません: 鍵 {key} がどの鍵ファイルにもありません。",
    wrong_key: "{name} には従えません: 鍵 {key} への応答の認証コードが合いません。両方の鍵ファイルの {key} の行は同じでなければなりません。",
    wrong_nts: "{name} には従えません: 応答が NTS の鍵に合いません。",
    few: "{name} にはまだ従えません: 測定 {samples} 回では足りません。",
    offline: "{name} には尋ねていません: オフラインです。また尋ねるには: {online}",
    distant: "{name} には従えません: root distance {distance} が maxdistance の {limit} を超えています。",
    jittery: "{name} には従えません: ゆらぎ {jitter} が maxjitter の {limit} を超えています。",
    stratum: "{name} には従えません: stratum {stratum} が minstratum から maxstratum まで ({limit}) の範囲にありません。",
    noselect: "{name} は見ているだけです: noselect が指定されたか、authselectmode によるものです。",
    unpreferred: "{name} は使いません: 他に prefer の時刻源があります。",
    not_combined: "{name} は一致しますが合成しません: root distance {distance} が、選ばれたものの {limit} 倍を超えています。",
    waits: "{name} には従えますが、minsources が {count} 個の一致を求めているか、require の時刻源がありません。",
};

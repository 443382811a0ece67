//! 日本語。

use super::{Texts, TourText};

pub(super) static TEXTS: Texts = Texts {
    help: "\
banto (番頭) は、このホストの時計・ログ・メールを預かり、互いに結びます。

  banto up       ディレクトリひとつの中で、root なしで全体を動かす (Ctrl-C で終了)
                 --control-clock  時計の調整も行う (なければ測るだけ)
                 --init-only      既定の設定ファイルを書くだけ
  banto status   いまの様子: 時計・ログ・メール・通知          [--json]
  banto doctor   合言葉をひとつ、端から端まで流して確かめる    [--json] [--strict]
  banto tour     動いている家を十の段で案内する                [--yes]
  banto check    設定ファイルをすべて読み、間違いを残らず告げる
  banto time     時計: status, plot, set, explain
  banto reload   デーモンに設定の読み直しを頼む                [SERVICE]
  banto 名前     おなじみのコマンド (下の一覧)
  banto help、banto VERB --help、banto --version

  --dir DIR      家のディレクトリ。省くと BANTO_DIR、それもなければ banto 自身のコマンドは ./banto-data、
                 下のコマンドはシステムに入っているものが相手
",
    verb_help: &[
        ("up", "\
使い方: banto [--dir DIR] up [--control-clock] [--init-only]

DIR で家を動かします。省くと BANTO_DIR、それもなければ ./banto-data です。Ctrl-C か SIGTERM で終わります。

  --control-clock  時計の調整も行う (なければ測るだけ)
  --init-only      足りない既定のファイルを書くだけ
  --dir DIR        家のディレクトリ

終了コード: 0 頼まれて終わった; 1 始められない、または設定に間違い; 64 コマンドの書き方の間違い
"),
        ("status", "\
使い方: banto [--dir DIR] status [--json]

家の様子を示します: 時計・ログ・メール・通知、そして退けた入力。

  --json           すべてを JSON で
  --dir DIR        家のディレクトリ

終了コード: 0 すべてのデーモンが応答; 1 応答しないものがある、または家が動いていない; 64 コマンドの書き方の間違い
"),
        ("doctor", "\
使い方: banto [--dir DIR] doctor [--json] [--strict]

合言葉を時計から郵便受け、そしてログまで流し、切れている環を告げます。

  --json           結果を JSON で
  --strict         注意も失敗とみなす (届く時刻源のない時計)
  --dir DIR        家のディレクトリ

終了コード: 0 すべてつながっている; 1 切れている、または家が動いていない; 64 コマンドの書き方の間違い
"),
        ("tour", "\
使い方: banto [--dir DIR] tour [--yes]

動いている家を十の段で案内します。コマンドを示し、動かし、そのわけを言います。

  --yes            段の間で Enter を待たない
  --dir DIR        家のディレクトリ

終了コード: 0 どの段も示すべきものを示した; 1 そうでない段がある、または家が動いていない; 64 コマンドの書き方の間違い
"),
        ("check", "\
使い方: banto [--dir DIR] check

家の設定ファイルを、chrony の *.sources と利用者の .forward も含めてすべて読み、間違いを残らず告げます。

  --dir DIR        家のディレクトリ (動いていなくてもよい)

終了コード: 0 間違いなし、または注意のみ; 1 間違いがある、またはファイルがない; 64 コマンドの書き方の間違い
"),
        ("reload", "\
使い方: banto [--dir DIR] reload [timed | logd | maild | alertd | webd]

そのデーモン (省けばすべて) に設定の読み直しを頼み、返事をひとつずつ示します。断られたものは元の設定のままです。

  --dir DIR        家のディレクトリ

終了コード: 0 頼んだものがすべて読み直した (webd には読み直すものがなく、名指しのときだけ数える); 1 読み直さないものがある、または
家が動いていない; 64 コマンドの書き方の間違い
"),
        ("help", "\
使い方: banto help

終了コード: 0
"),
    ],
    programs: "コマンド (同じ名前のリンクからも呼べます):",
    about: |program| program.about_ja,
    unknown_name: "`{name}` というものはありません",
    did_you_mean: "もしかして: banto {name}",
    unknown_option: "`{option}` は banto {verb} のオプションではありません",
    option_needs_value: "`{option}` には値が要ります",
    help_word: "ヒント",
    error_word: "エラー",
    time: &super::time::JA,

    up_house: "banto {version}: 家は {dir}",
    up_written: "  既定の設定を書きました: {files}",
    up_initialised: "ファイルを書きました。好きに直してから: {command}",
    up_clock_measured: "  時計は測るだけで、合わせません (--control-clock で合わせるようになります)。",
    up_clock_controlled: "  この家は時計を合わせます (--control-clock)。",
    up_ready: "{ms} ms で準備ができました。別の端末で: {command} status | doctor | tour。終えるには Ctrl-C。",
    up_stopping: "終了中: {name}",
    up_stopped: "終わりました。すべて {dir} に残っています。",
    up_died: "{name} が終わってしまいました ({how})。{pause}後にもう一度起動します",
    up_back: "{name} が {ms} ms で戻りました",
    up_not_ready: "{name} が {seconds} 秒たっても応答しません",
    up_ended_early: "{name} が準備の前に終わりました ({how})",
    up_killed: "{name} が {seconds} 秒で終わらないため、強制終了しました",
    up_locked: "{dir} ではもう家が動いています (プロセス {pid})",
    up_locked_help: "様子を見るには: {command} status\n別の場所で動かすには: banto up --dir DIR",
    up_path_too_long: "パス {dir} は {excess} バイト長すぎます。この下にソケットを置きますが、ソケットのパスは 107 バイトまでです",
    up_path_too_long_help: "もっと短い場所で: banto up --dir ~/banto",
    up_path_unwritable: "パス {dir} に、空白や引用符など設定ファイルに書けない文字があります",
    up_io: "{path}: {error}",
    up_port_in_use_help: "このポートは別のプログラムが使っています。ss -lntup で調べ、それを終えるか、{file} のポートを変えてください",
    service_time: "  時計    NTP {ntp}、chronyc {command} と {socket}。記録は {state}",
    service_log: "  ログ    syslog {syslog} と {socket}。ジャーナルは {journal}、ファイルは {files}",
    service_mail: "  メール  SMTP {smtp}、投函口 {socket}。郵便受けは {mail}、キューは {spool}",
    service_alerts: "  通知    規則 {rules} 件 ({file})。読んだ位置は {state}",
    service_web: "  画面    http://{web}/",
    line: "時計 {clock} | 記録 {kept} 損失 {lost} | キュー {queue} | 通知 {fired}、抑制 {suppressed}",
    line_unsynchronised: "時刻源なし ({sources} 個を試行)",
    line_unresolved: "時刻源なし ({names} のアドレスがまだ分かりません)",
    line_own_clock: "自分の時計のみ (local stratum {stratum})",
    line_unsent: "、送信待ち {waiting}、拒否 {failed}",
    line_down: "応答なし: {names}",

    check_no_files: "{dir} に設定ファイルがありません",
    check_fine: "{file}: 間違いなし",
    check_warned: "{file}: 誤りなし。注意が上にあります",
    check_wrong: "{file}: 間違いがあります (上を見てください)",

    no_house: "{dir} で動いている家がありません",
    no_house_help: "始めるには: banto up{dir_option}",
    no_house_help_where: "場所を言うには: banto --dir DIR status (または BANTO_DIR=DIR)\nここで始めるには: banto up",
    reload_done: "{name}: 読み直しました{note}",
    reload_refused: "{name} は読み直していません: {why}",
    reload_unknown: "`{name}` はこの家のデーモンではありません",
    status_house: "{host}、家は {dir}",
    status_clock_followed: "時計     ずれ {offset}、誤差は {bound} 以内。{reference} に従う (ストラタム {stratum})",
    status_clock_unsynchronised: "時計     同期していません: 従える時刻源がまだありません",
    status_clock_own: "時計     自分の時計だけに従っています (local stratum {stratum}): 時刻源はなく、誤差はわかりません",
    status_clock_down: "時計     時計のデーモンが応答しません: {error}",
    status_clock_set: "         この家は時計を合わせます (--control-clock)",
    status_clock_measured: "         この家は時計を測るだけで、合わせません",
    status_kernel_synced: "         カーネルの申告: 同期、誤差は {bound} 以内 (記録にもそう書かれます)",
    status_kernel_unsynced: "         カーネルの申告: 非同期 (記録にもそう書かれます)",
    status_sources: "         時刻源:",
    status_source: "           {address}  {state}、ストラタム {stratum}、到達 {reach}、ずれ {offset} ± {error}",
    status_source_unresolved: "           {name}  アドレスがまだ分かりません",
    status_source_silent: "           {address}  まだ応答なし",
    source_states: &[
        ("selected", "選択中"),
        ("combined", "併用中"),
        ("not combined", "控え"),
        ("falseticker", "狂っている"),
        ("jittery", "揺れが大きい"),
        ("unusable", "使えない"),
    ],
    status_no_sources: "         時刻源: なし",
    status_part_down: "{name} が応答しません: {error}",
    status_log: "ログ     記録 {kept}、損失 {lost}",
    status_input: "           {name}: 記録 {kept}、損失 {lost}",
    status_mail: "メール   キューに {queue} 通",
    status_last_delivery: "         最後の配達: {to} 宛、{status}、{ago} 前",
    status_no_delivery: "         配達はまだありません",
    status_alerts: "通知     送信 {fired}、抑制 {suppressed}",
    status_alerts_waiting: "         まだ送れない通知: {waiting} 件 ({reason})",
    status_alerts_untried: "これから試します",
    status_alerts_failed: "         拒否された通知: {failed} 件 ({reason})",
    status_rule: "           {name}: 一致 {matched}、送信 {fired}、抑制 {suppressed}",
    status_web: "画面     http://{address}/",
    status_bad_input: "退けた入力 (各デーモンの起動から):",
    status_bad_input_of: "           {daemon} {way}: 壊れたもの {malformed}、許されないもの {refused}",

    doctor_title: "時計から郵便受けまでを、合言葉 {nonce} で確かめます:",
    doctor_ok: "よし",
    doctor_warning: "注意",
    doctor_broken: "切れ",
    doctor_skipped: "未確認",
    doctor_links: [
        "時計の状態",
        "記録を書く",
        "ジャーナルにある",
        "通知が出る",
        "メールを受け付ける",
        "郵便受けに届く",
        "配達の記録がログにある",
    ],
    doctor_all_hold: "すべてつながっています ({ms} ms)。",
    doctor_warned: "すべてつながっていますが、注意があります ({ms} ms)。",
    doctor_not_all: "切れているところ: {link}。",
    doctor_synced: "{reference} に従う、誤差は {bound} 以内",
    doctor_unresolved: "同期していません: {names} のアドレスがまだ分かりません (記録には正直にそう書かれます)",
    doctor_no_source: "同期していません: 時刻源がありません (記録には正直にそう書かれます)",
    doctor_unreachable: "同期していません: {sources} 個の時刻源のどれにも届きません (記録には正直にそう書かれます)",
    doctor_unselected: "同期していません: 時刻源 {sources} 個のうち {answering} 個が応答していますが、どれも選ばれていません (記録には正直にそう書かれます)",
    doctor_unselected_help: "起動直後なら 1 分待ってください。そうでなければ理由を見てください: {command} time explain",
    doctor_own_clock: "自分の時計だけに従っています (local stratum {stratum}): 時刻源はなく、誤差はわかりません",
    doctor_unsent: "。送れていない通知: 待ち {waiting} 件、拒否 {failed} 件: {reason}",
    doctor_not_told: "。ただしカーネルは同期していないと言い、記録にもそう書かれます",
    doctor_not_told_help: "起動や時刻合わせの直後なら 1 分待ってください。そうでなければ {file} に書き足してください: rtcsync",
    doctor_unreachable_help: "どれか調べるには: {command} chronyc -N sources -a\n届くサーバーを {file} に書いてください",
    doctor_clock_down: "時計のデーモンが応答しません: {error}",
    doctor_clock_down_help: "家は動いていますか: {command} status",
    doctor_logged: "{socket} へ送信",
    doctor_log_help: "ログのデーモンは動いていますか: {command} status",
    doctor_found: "{cursor}、時計は {quality}",
    doctor_no_quality: "記録に、時計が同期していたかどうか (_CLOCK_SYNCED) がありません",
    doctor_found_help: "ログのデーモンの言い分: {command} journalctl -t logd -n 20",
    doctor_fired: "規則 doctor、通知 {id}",
    doctor_fired_help: "通知のデーモンの言い分: {command} journalctl -t alertd -n 20",
    doctor_accepted: "キュー番号 {id}",
    doctor_accepted_help: "キューに残っているものとその理由: {command} mailq",
    doctor_delivered: "{mailbox}、宛先 {recipient}",
    doctor_delivered_help: "郵便受けとその権限を見てください: ls -l {mailbox}",
    doctor_recorded: "status={status} dsn={dsn}",
    doctor_recorded_help: "探すには: {command} journalctl BANTO_EVENT=mail.delivery -n 20",
    doctor_timeout: "{seconds} 秒待っても来ません",

    tour_intro: "\
{dir} の家を、十の段で案内します。段ごとにコマンドを見せ、動かし、結果を見せ、なぜ大切かを話します。
どのコマンドも、自分で打てるものです。",
    tour_continue: "Enter: 次へ    q: 終わる > ",
    tour_step: "[{number}/10] {title}",
    tour_why: "なぜ: ",
    tour_failed: "この段は、見せるはずのものを見せられませんでした: {error}",
    tour_end: "案内はここまでです。次は etc/banto.toml に自分の規則を、etc/aliases に自分の名前を書き、{web} を開いてみてください。",
    tour_end_failed: "十段のうち {count} 段が、見せるはずのものを見せられませんでした。原因を調べるには: {command} doctor",
    tour_ended_early: "案内を終わります。いつでもまた: {command} tour",
    tour_waiting_for: "{seconds} 秒待っても来ません",
    tour_rule_gone: "この段で使う規則や名前が {file} にもうありません (書き換えたのですね)",
    tour_forward_kept: "{file} はあなたのものなので、案内では触りません",
    tour_steps: [
        TourText {
            title: "時計は何に従っている?",
            why: "ログのどの記録にも時刻が付きます。その時刻がどこまで信じられるかがこれで分かります。Reference ID が従っているサーバー、System time が時計のずれです。",
        },
        TourText {
            title: "ログに一行書き、どこへ行ったかを見る",
            why: "logger は、スクリプトがログに書くためのコマンドです。user.info は「誰が」と「どれほど重いか」。etc/rsyslog.conf の規則が、これを見てファイルを選びます。",
        },
        TourText {
            title: "ジャーナルからもう一度見つける",
            why: "ジャーナルは、すべての記録を項目ごと残します。誰が書いたか、時計が正しかったかという、偽れない項目も一緒です。-t はプログラムの名前で選び、-o verbose はすべての項目を見せます。",
        },
        TourText {
            title: "プログラムの出力をログにする",
            why: "systemd-cat は、プログラムやパイプの出力を一行ずつ記録にします。プログラムの側はログのことを知らなくてかまいません。",
        },
        TourText {
            title: "規則がファイルを選ぶ",
            why: "local0 から local7 は、自由に使ってよい名前です。etc/rsyslog.conf に一行書けば、それぞれ自分のファイルを持てます。",
        },
        TourText {
            title: "メールを送り、郵便受けで見つける",
            why: "このホストのメールはファイルです: mail/利用者名。mail が「送った」と言うときには、もうディスクに書かれています。",
        },
        TourText {
            title: "宛先の別名",
            why: "etc/aliases で、人に別名 (postmaster や helpdesk) を付けたり、ひとつの名前を何人もに配ったりできます。変えたら newaliases。",
        },
        TourText {
            title: "利用者がメールを転送する",
            why: "ホームにある .forward というファイルが、その人のメールの行き先を決めます。ほかの宛先、ファイル、その両方。",
        },
        TourText {
            title: "ログの中の言葉がメールになる",
            why: "etc/banto.toml の規則 word は、すべての記録からこの言葉を探します。最初の一通はすぐに、続きはまとめて一通で届くので、メールの洪水になりません。",
        },
        TourText {
            title: "端から端まで、つながっている?",
            why: "doctor は合言葉をひとつ、時計・ログ・規則・通知・メール・郵便受けへと流し、切れているところを名指しします。何かを変えたら、動かしてみてください。",
        },
    ],
};

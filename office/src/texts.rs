//! One table of what the program says when something doesn't work: what happened, what is safe,
//! what to do, in German and English, by the error's stable code. No content and no technical
//! words reach a person from here.

use crate::lang::Language;

/// A message in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// The error's code.
    pub code: &'static str,
    /// Three short sentences.
    pub de: &'static str,
    /// The same.
    pub en: &'static str,
}

impl Text {
    /// In one language.
    pub const fn said(&self, language: Language) -> &'static str {
        language.of(self.de, self.en)
    }
}

/// The message for a code; a code that isn't listed falls back to its family.
///
/// `invalid.title.empty` looks for itself, then `invalid.*.empty`, `invalid.title`, `invalid`.
pub fn text(code: &str) -> &'static Text {
    let mut parts = code.split('.');
    let family = parts.next().unwrap_or_default();
    let field = parts.next();
    let detail = parts.next();
    let any = detail.map(|detail| format!("{family}.*.{detail}"));
    let narrow = field.map(|field| format!("{family}.{field}"));
    [
        Some(code),
        any.as_deref(),
        narrow.as_deref(),
        Some(family),
        Some("internal"),
    ]
    .into_iter()
    .flatten()
    .find_map(find)
    .unwrap_or(&INTERNAL)
}

fn find(code: &str) -> Option<&'static Text> {
    TEXTS.iter().find(|text| text.code == code)
}

const fn t(code: &'static str, de: &'static str, en: &'static str) -> Text {
    Text { code, de, en }
}

const INTERNAL: Text = t(
    "internal",
    "Das hat nicht geklappt, und der Grund liegt im Programm. Alles Gesicherte ist noch da. Bitte noch einmal versuchen; bleibt es dabei, melde uns, was du gerade getan hast.",
    "That didn't work, and the reason lies in the program. Everything saved is still there. Please try again; if it stays, tell us what you were doing.",
);

/// All of them.
#[rustfmt::skip] // a table
pub const TEXTS: &[Text] = &[
    INTERNAL,
    t("offline",
      "Kein Netz zum Betrieb. Alles ist auf diesem Gerät gesichert. Es geht von selbst weiter, sobald die Verbindung wieder da ist.",
      "No connection to the company. Everything is saved on this device. It goes on by itself as soon as the connection is back."),
    t("offline_now",
      "Dafür braucht es jetzt eine Verbindung zum Betrieb, und die ist gerade nicht da. Es ist nichts verloren und nichts halb geschehen. Prüfe Netz und Adresse; hat der Hub ein selbst gemachtes Zertifikat, gib es mit --trust an.",
      "This needs a connection to the company now, and there is none. Nothing is lost and nothing is half done. Check network and address; if the hub has a certificate of your own making, give it with --trust."),
    t("busy",
      "Gerade arbeitet noch etwas anderes an diesen Daten. Es ist nichts verloren. Versuche es gleich noch einmal.",
      "Something else is working on this data right now. Nothing is lost. Try again in a moment."),
    t("cancelled",
      "Abgebrochen. Was schon gesichert war, ist da. Du kannst es jederzeit noch einmal machen.",
      "Stopped. What was saved before is there. You can do it again at any time."),
    t("auth_expired",
      "Dieses Gerät oder diese Person hat hier keinen Zugang mehr. Was gesichert war, geht zuerst ins Büro; dann leert sich ein gesperrtes Gerät von selbst. Sprich mit dem Büro, wenn das nicht sein sollte.",
      "This device or person no longer has access here. What was saved goes to the office first; then a device that was shut out empties itself. Talk to the office if that shouldn't be."),
    t("locked",
      "Das darfst du hier nicht. Es ist nichts verändert. Frage das Büro.",
      "You may not do that here. Nothing was changed. Ask the office."),
    t("locked.right",
      "Dafür fehlt dir die Berechtigung. Es ist nichts verändert. Frage das Büro oder deine Vorarbeiterin.",
      "You don't have the right to do that. Nothing was changed. Ask the office or your foreman."),
    t("locked.member",
      "Du bist in diesem Verlauf nicht dabei. Es ist nichts verändert. Bitte das Büro, dich aufzunehmen.",
      "You aren't a member of this thread. Nothing was changed. Ask the office to add you."),
    t("locked.pin",
      "Diese Anmeldung braucht ihre PIN. Es ist nichts verloren. Gib die PIN ein und versuche es noch einmal.",
      "This seat needs its PIN. Nothing is lost. Enter the PIN and try again."),
    t("locked.wrong_pin",
      "Das war nicht die PIN. Es ist nichts verloren, und wie viele Versuche noch bleiben, steht dabei. Nach fünf falschen sperrt sich die Anmeldung, und das Büro öffnet sie wieder.",
      "That wasn't the PIN. Nothing is lost, and it says how many tries are left. After five wrong ones the seat locks, and the office opens it again."),
    t("locked.locked_out",
      "Fünfmal war die PIN falsch, diese Anmeldung ist gesperrt. Was gesichert war, ist sicher und geht weiter ins Büro. Ruf das Büro an: Es öffnet sie, oder es gibt dir eine neue.",
      "The PIN was wrong five times, and this seat is locked. What was saved is safe and goes on to the office. Call the office: it opens the seat, or gives you a new one."),
    t("locked.sealed",
      "Das ist für andere versiegelt. Es ist nichts verändert. Wer genannt ist, kann es öffnen.",
      "That is sealed for others. Nothing was changed. Whoever is named can open it."),
    t("locked.sealed_before",
      "Das wurde versiegelt, bevor du dieses Gerät hattest. Es ist nicht verloren. Bitte jemand anderen, der genannt ist, es noch einmal für dich zu versiegeln; sonst hilft der Notfallbogen.",
      "That was sealed before you had this device. It isn't lost. Ask someone else who is named to seal it again for you; failing that, the recovery kit helps."),
    t("storage_full",
      "Der Speicher ist voll. Was schon gesichert war, ist sicher; das Neue ist nicht dabei. Schaffe etwas Platz und schicke es noch einmal.",
      "The storage is full. What was saved before is safe; the new item is not in it. Free some space and send it again."),
    t("upgrade_required",
      "Diese Daten hat ein neueres Programm geschrieben. Sie sind unberührt. Hole dir die neue Version und öffne sie damit.",
      "A newer program wrote this data. It is untouched. Get the new version and open it with that."),
    t("corrupt",
      "Die Daten auf diesem Gerät sind beschädigt oder gehören zu einem anderen Schlüssel. Nichts wurde gelöscht. Lass den Ordner, wie er ist, und sprich mit dem Büro.",
      "The data on this device is damaged or belongs to another key. Nothing was deleted. Leave the folder as it is and talk to the office."),

    t("not_found",
      "Das gibt es hier nicht. Es ist nichts verändert. Sieh nach, was da ist, und versuche es noch einmal.",
      "There is no such thing here. Nothing was changed. Look at what is there and try again."),
    t("not_found.company",
      "In diesem Ordner ist kein aufgenommenes Gerät. Es ist nichts verändert. Nenne mit --dir den richtigen Ordner, gründe einen Betrieb (found) oder nimm das Gerät auf (enrol).",
      "This folder holds no enrolled device. Nothing was changed. Name the right folder with --dir, found a company (found) or enrol the device (enrol)."),
    t("not_found.thread",
      "Diesen Auftrag gibt es auf diesem Gerät nicht. Es ist nichts verändert. Die Liste der Aufträge zeigt, welche es gibt.",
      "This device has no such job. Nothing was changed. The list of jobs shows which there are."),
    t("not_found.entry",
      "Diesen Eintrag gibt es hier nicht. Es ist nichts verändert. Der Verlauf zeigt, welche es gibt.",
      "There is no such entry here. Nothing was changed. The thread shows which there are."),
    t("not_found.media",
      "Das ist noch nicht auf diesem Gerät. Es ist nicht verloren, es kommt noch. Versuche es später noch einmal.",
      "That isn't on this device yet. It isn't lost, it is on its way. Try again later."),
    t("not_found.seat",
      "So jemand schreibt auf diesem Gerät nicht. Es ist nichts verändert. Sieh nach, wer hier angemeldet ist.",
      "Nobody of that name writes on this device. Nothing was changed. See who is seated here."),
    t("not_found.person",
      "So jemanden gibt es im Betrieb nicht. Es ist nichts verändert. Sieh in der Liste der Mitarbeiter nach.",
      "There is nobody of that name in the company. Nothing was changed. Look at the list of people."),
    t("not_found.crew",
      "So eine Kolonne gibt es im Betrieb nicht. Es ist nichts verändert. Sieh in der Liste der Kolonnen nach.",
      "The company has no such crew. Nothing was changed. Look at the list of crews."),
    t("not_found.invite",
      "Diese Aufnahme gibt es nicht mehr. Es ist nichts verändert. Beginne eine neue.",
      "This admission is gone. Nothing was changed. Begin a new one."),
    t("not_found.locked_seat",
      "So eine Anmeldung wartet hier auf nichts. Es ist nichts verändert. Die Liste der Geräte zeigt, was gesperrt ist.",
      "No such seat waits for anything here. Nothing was changed. The list of devices shows what is locked."),
    t("not_found.share",
      "Diese Anmeldung lässt sich von diesem Computer aus nicht öffnen. Es ist nichts verloren. Versuche es an einem anderen Bürocomputer, oder erneuere sie.",
      "This seat can't be opened from this computer. Nothing is lost. Try another computer of the office, or renew the seat."),
    t("not_found.wanted_seat",
      "Das Gerät hat um keine neue Anmeldung gebeten. Es ist nichts verändert. Dort zuerst „PIN vergessen“ wählen (kolonne seat forgot), dann hier erneuern.",
      "The device asked for no new seat. Nothing was changed. Choose “PIN forgotten” there first (kolonne seat forgot), then renew it here."),
    t("not_found.page",
      "Diese Adresse gibt es hier nicht. Es ist nichts verändert. Geh zurück zur Übersicht.",
      "There is no such address here. Nothing was changed. Go back to the overview."),

    t("pin_unasked",
      "Hier fehlt eine PIN, und niemand ist da, der sie eintippt. Es ist nichts verändert. Rufe es an einem Terminal auf; Skripte geben sie in KOLONNE_PIN oder KOLONNE_NEW_PIN an, oder lassen sie beim Aufnehmen weg (--no-pin).",
      "A PIN is missing, and nobody is there to type it. Nothing was changed. Call this at a terminal; scripts give it in KOLONNE_PIN or KOLONNE_NEW_PIN, or leave it out when enrolling (--no-pin)."),
    t("invalid.pin.malformed",
      "Eine PIN hat vier bis acht Ziffern. Es ist nichts verändert, und ein Versuch war das nicht. Tippe nur Ziffern.",
      "A PIN has four to eight digits. Nothing was changed, and it didn't count as a try. Type digits only."),
    t("invalid.pin.easy",
      "Diese PIN probiert jeder zuerst. Es ist nichts verändert. Nimm eine ohne Reihe und ohne lauter gleiche Ziffern.",
      "That PIN is what anybody tries first. Nothing was changed. Take one that is no run and no repetition."),
    t("invalid.pin.required",
      "Dieses Handy teilen sich mehrere, darum braucht jeder eine PIN. Es ist nichts verändert. Ändern kannst du sie jederzeit.",
      "Several people share this phone, so each needs a PIN. Nothing was changed. You can change it at any time."),
    t("invalid.minutes",
      "So lange darf eine Anmeldung nicht offen bleiben. Es ist nichts verändert. Nimm höchstens 1440 Minuten, oder 0 für nie.",
      "A seat can't stay open that long. Nothing was changed. Take at most 1440 minutes, or 0 for never."),
    t("invalid",
      "So kann das nicht übernommen werden. Es ist nichts verändert. Prüfe die Eingabe und versuche es noch einmal.",
      "It can't be taken like that. Nothing was changed. Check the input and try again."),
    t("invalid.*.empty",
      "Da steht noch nichts. Es ist nichts verändert. Fülle das Feld aus und versuche es noch einmal.",
      "There is nothing in it yet. Nothing was changed. Fill in the field and try again."),
    t("invalid.*.too_large",
      "Das ist zu lang. Es ist nichts verändert. Kürze es und versuche es noch einmal.",
      "That is too long. Nothing was changed. Shorten it and try again."),
    t("invalid.title.empty",
      "Der Auftrag hat noch keinen Namen. Es ist nichts verändert. Gib ihm einen, zum Beispiel „Lindenweg 14: Dach“.",
      "The job has no name yet. Nothing was changed. Give it one, for example “Lindenweg 14: roof”."),
    t("invalid.text.empty",
      "Die Nachricht ist leer. Es ist nichts verschickt worden. Schreib etwas und schicke sie noch einmal.",
      "The message is empty. Nothing was sent. Write something and send it again."),
    t("invalid.text.too_large",
      "Die Nachricht ist zu lang. Es ist nichts verschickt worden. Teile sie auf oder schicke sie als Datei.",
      "The message is too long. Nothing was sent. Split it or send it as a file."),
    t("invalid.file",
      "Diese Datei lässt sich so nicht verwenden. Das Original liegt unverändert an seinem Platz. Schicke sie als Datei.",
      "This file can't be used like that. The original lies unchanged in its place. Send it as a file."),
    t("invalid.file.empty",
      "Die Datei ist leer. Es ist nichts verschickt worden. Prüfe, ob sie fertig gespeichert ist, und versuche es noch einmal.",
      "The file is empty. Nothing was sent. Check whether it was saved completely and try again."),
    t("invalid.file.media_empty",
      "Die Datei ist leer. Es ist nichts verschickt worden. Prüfe, ob sie fertig gespeichert ist, und versuche es noch einmal.",
      "The file is empty. Nothing was sent. Check whether it was saved completely and try again."),
    t("invalid.file.too_large",
      "Die Datei ist zu groß: Dateien gehen bis 100 MB, Fotos und Sprachnotizen bis 64 MB. Sie liegt unverändert an ihrem Platz. Schicke eine kleinere Fassung.",
      "The file is too large: files go up to 100 MB, photos and voice notes up to 64 MB. It lies unchanged in its place. Send a smaller version."),
    t("invalid.file.media_too_large",
      "Die Datei ist zu groß: Fotos und Sprachnotizen gehen bis 64 MB. Sie liegt unverändert an ihrem Platz. Schicke sie als Datei oder kleiner.",
      "The file is too large: photos and voice notes go up to 64 MB. It lies unchanged in its place. Send it as a file or smaller."),
    t("invalid.file.media_too_many_pixels",
      "Das Bild hat mehr Bildpunkte, als hier verarbeitet werden. Es liegt unverändert an seinem Platz. Schicke es als Datei.",
      "The picture has more pixels than are processed here. It lies unchanged in its place. Send it as a file."),
    t("invalid.file.media_too_much_memory",
      "Das Bild braucht mehr Speicher, als hier erlaubt ist. Es liegt unverändert an seinem Platz. Schicke es als Datei.",
      "The picture needs more memory than is allowed here. It lies unchanged in its place. Send it as a file."),
    t("invalid.file.media_too_long",
      "Die Aufnahme ist länger als 30 Minuten. Sie liegt unverändert an ihrem Platz. Schicke sie als Datei.",
      "The recording is longer than 30 minutes. It lies unchanged in its place. Send it as a file."),
    t("invalid.file.media_truncated",
      "Die Datei hört mittendrin auf. Sie liegt unverändert an ihrem Platz. Kopiere sie noch einmal vom Gerät oder schicke sie als Datei.",
      "The file ends in the middle. It lies unchanged in its place. Copy it from the device again or send it as a file."),
    t("invalid.file.media_corrupt",
      "Die Datei ist beschädigt und lässt sich nicht als Foto oder Sprachnotiz lesen. Sie liegt unverändert an ihrem Platz. Schicke sie als Datei.",
      "The file is damaged and can't be read as a photo or voice note. It lies unchanged in its place. Send it as a file."),
    t("invalid.file.media_unsupported",
      "Das lässt sich nicht als Foto oder Sprachnotiz verwenden. Die Datei liegt unverändert an ihrem Platz. Schicke sie als Datei.",
      "This can't be used as a photo or voice note. The file lies unchanged in its place. Send it as a file."),
    t("invalid.for.empty",
      "Versiegelt wird für bestimmte Leute, und es ist niemand genannt. Es ist nichts gesichert. Nenne Personen oder das Büro.",
      "Something is sealed for certain people, and nobody is named. Nothing was saved. Name people or the office."),
    t("invalid.for.member",
      "Wer genannt ist, ist in diesem Auftrag nicht dabei und bekäme es nie zu sehen. Es ist nichts gesichert. Nimm die Person zuerst auf oder versiegle es in einem anderen Verlauf.",
      "Someone named isn't a member of this job and would never see it. Nothing was saved. Add the person first, or seal it in another thread."),
    t("invalid.for.ended",
      "Wer genannt ist, arbeitet hier nicht mehr oder hat gerade kein Gerät. Es ist nichts gesichert. Nenne jemand anderen oder das Büro.",
      "Someone named no longer works here or has no device right now. Nothing was saved. Name someone else or the office."),
    t("invalid.for.too_many",
      "So viele Leute auf einmal gehen nicht. Es ist nichts gesichert. Nenne höchstens 63 Personen oder nur das Büro.",
      "That is too many people at once. Nothing was saved. Name at most 63 people, or the office alone."),
    t("invalid.caption.sealed",
      "Neben etwas Versiegeltem stehen keine Worte: alle im Verlauf läsen sie. Es ist nichts gesichert. Schreibe sie in die Datei oder den Genannten direkt.",
      "No words stand beside something sealed: everyone in the thread would read them. Nothing was saved. Write them into the file, or to those named."),
    t("invalid.sealed.broken",
      "Das wurde falsch versiegelt und lässt sich nicht öffnen. Es ist nichts verändert. Bitte, wer es geschickt hat, es noch einmal zu schicken.",
      "That was sealed wrongly and can't be opened. Nothing was changed. Ask whoever sent it to send it again."),
    t("invalid.to.taken",
      "Dort liegt schon eine Datei dieses Namens. Sie ist unberührt. Nenne einen anderen Ort.",
      "There is a file of that name already. It is untouched. Name another place."),
    t("invalid.members.standing",
      "Das Büro und der Notfallbogen gehören zu jedem Auftrag. Es ist nichts verändert. Nimm Kolonnen oder einzelne Leute heraus.",
      "The office and the recovery kit belong to every job. Nothing was changed. Remove crews or single people instead."),
    t("invalid.kit",
      "Auf dem Notfallbogen ist etwas falsch abgetippt. Es ist nichts verändert. Vergleiche die genannte Gruppe und gib ihn noch einmal ein.",
      "Something of the recovery kit is typed wrong. Nothing was changed. Compare the named group and enter it again."),
    t("kit_unasked",
      "Der Notfallbogen wird hier abgetippt oder über die Standardeingabe gegeben, und es kam nichts. Es ist nichts verändert. Rufe es noch einmal auf.",
      "The recovery kit is typed here or given on stdin, and nothing came. Nothing was changed. Call this again."),
    t("not_found.kit_company",
      "Der Hub an dieser Adresse kennt den Betrieb dieses Notfallbogens nicht. Es ist nichts verändert. Prüfe die Adresse und ob es der richtige Bogen ist.",
      "The hub at this address doesn't know the company of this recovery kit. Nothing was changed. Check the address and whether it is the right kit."),
    t("not_found.hub",
      "Dieses Gerät weiß nicht, wo der Hub ist. Alles ist auf diesem Gerät gesichert. Nenne ihn mit „kolonne hub-address“.",
      "This device doesn't know where the hub is. Everything is saved on this device. Name it with “kolonne hub-address”."),
    t("not_found.backup",
      "Diese Sicherung gibt es nicht. Es ist nichts verändert. Prüfe den Namen und den Ordner.",
      "There is no such backup. Nothing was changed. Check the name and the folder."),
    t("invalid.backup.taken",
      "So eine Datei gibt es schon. Sie ist unberührt, und es ist nichts geschrieben worden. Nimm einen anderen Namen.",
      "There is a file of that name already. It is untouched, and nothing was written. Take another name."),
    t("invalid.backup.damaged",
      "Die Sicherung ist beschädigt oder hört mittendrin auf. Auf diesem Gerät ist nichts verloren. Nimm eine andere Fassung, oder schreibe sie an einen anderen Ort neu.",
      "The backup is damaged or breaks off. Nothing on this device is lost. Take another version, or write it anew in another place."),
    t("invalid.backup.unsupported",
      "Diese Datei ist keine Sicherung von Kolonne. Es ist nichts verändert. Nenne die Datei, die „kolonne backup“ geschrieben hat.",
      "This file isn't a backup of Kolonne. Nothing was changed. Name the file that “kolonne backup” wrote."),
    t("invalid.backup.other_kit",
      "Diese Sicherung öffnet ein anderer Notfallbogen. Es ist nichts verändert. Nimm den Bogen, der galt, als sie geschrieben wurde.",
      "Another recovery kit opens this backup. Nothing was changed. Take the kit that held when it was written."),
    t("invalid.subject.own",
      "Dich selbst oder den Computer, an dem du sitzt, kannst du nicht sperren. Es ist nichts verändert. Lass es an einem anderen Büro-Computer machen.",
      "You can't shut out yourself or the computer you sit at. Nothing was changed. Have it done at another office computer."),
    t("invalid.subject.ended",
      "Dieser Zugang ist schon beendet. Es ist nichts verändert. Die Liste der Geräte zeigt, wie es darum steht.",
      "This access has ended already. Nothing was changed. The list of devices shows how it stands."),
    t("invalid.*.same",
      "So ist es schon. Es ist nichts verändert. Sieh nach, ob du etwas anderes meintest.",
      "It is like that already. Nothing was changed. See whether you meant something else."),
    t("invalid.people.own",
      "Mit dir selbst brauchst du keinen Verlauf. Es ist nichts verändert. Nenne andere.",
      "You need no thread with yourself. Nothing was changed. Name others."),
    t("invalid.days.range",
      "So viele Tage gehen nicht. Es ist nichts verändert. Nimm 1 bis 365.",
      "That many days don't work. Nothing was changed. Take 1 to 365."),
    t("not_found.erasure",
      "Hier wartet nichts auf eine zweite Person. Es ist nichts verändert. Die Liste zeigt, was gelöscht ist.",
      "Nothing here waits for a second person. Nothing was changed. The list shows what is erased."),
    t("not_found.kept_back",
      "Hier ist nichts zurückgehalten, das sich zulassen ließe. Es ist nichts verändert. Sieh nach, was zurückgehalten ist.",
      "Nothing is kept back here that could be let in. Nothing was changed. Look at what is kept back."),
    t("not_found.device",
      "So ein Gerät gibt es im Betrieb nicht. Es ist nichts verändert. Die Liste der Geräte zeigt, welche es gibt.",
      "The company has no such device. Nothing was changed. The list of devices shows which there are."),
    t("end_unasked",
      "Einen Zugang zu beenden muss ein Mensch bestätigen, und hier ist niemand zu fragen. Es ist nichts verändert. Rufe es in einem Terminal auf oder mit --yes.",
      "Ending access has to be confirmed by a person, and there is nobody to ask here. Nothing was changed. Call this in a terminal or with --yes."),
    t("end_denied",
      "Nicht bestätigt. Es ist nichts verändert. Du kannst es jederzeit noch einmal machen.",
      "Not confirmed. Nothing was changed. You can do it again at any time."),
    t("invalid.code",
      "Dieser Aufnahmecode lässt sich nicht lesen. Es ist nichts geschehen. Tippe ihn noch einmal ab oder lass dir im Büro einen neuen zeigen.",
      "This admission code can't be read. Nothing happened. Type it again or have the office show you a new one."),
    t("invalid.*.spent",
      "Dieser Aufnahmecode ist verbraucht oder abgelaufen. Es ist nichts geschehen. Lass dir im Büro einen neuen zeigen.",
      "This admission code is used up or has expired. Nothing happened. Have the office show you a new one."),
    t("invalid.*.expired",
      "Dieser Aufnahmecode ist abgelaufen. Es ist nichts geschehen. Lass dir im Büro einen neuen zeigen.",
      "This admission code has expired. Nothing happened. Have the office show you a new one."),
    t("invalid.*.denied",
      "Im Büro wurde dieses Gerät nicht aufgenommen. Es ist nichts geschehen. Sprich mit dem Büro und lass dir einen neuen Code zeigen.",
      "The office didn't admit this device. Nothing happened. Talk to the office and have it show you a new code."),
    t("invalid.dir.unwritable",
      "In diesen Ordner lässt sich nicht schreiben. Was gesichert war, ist unberührt. Prüfe, wem er gehört und ob er schreibgeschützt ist, oder nimm einen anderen.",
      "This folder can't be written to. What was saved is untouched. Check whose it is and whether it is read-only, or take another one."),
    t("output_lost",
      "Was hier gezeigt werden sollte, ließ sich nicht schreiben. Was geschehen ist, ist geschehen und gesichert. Schaffe Platz oder nimm ein anderes Ziel und lass es dir noch einmal zeigen.",
      "What was to be shown here couldn't be written. What was done is done and saved. Make room or take another target and have it shown again."),
    t("kit_unshown",
      "Der Notfallbogen ließ sich nicht zeigen, und er steht nirgends sonst. Dieser Betrieb ist darum noch leer zu verwerfen. Lösche den Ordner und gründe noch einmal, in einem Terminal.",
      "The recovery kit couldn't be shown, and it stands nowhere else. So this company is to be thrown away while it is empty. Delete the folder and found it again, in a terminal."),
    t("kit_unconfirmed",
      "Der Notfallbogen wird nur einmal gezeigt, und hier ist niemand, der ihn nimmt. Es ist nichts gegründet. Ruf dies in einem Terminal auf, oder mit --yes, wenn dein Skript ihn aufbewahrt.",
      "The recovery kit is shown only once, and nobody is here to take it. Nothing was founded. Call this in a terminal, or with --yes if your script keeps it."),
    t("kit_pdf_nowhere",
      "Die Seite käme als Zeichensalat auf den Bildschirm. Es ist nichts gegründet. Leite sie weiter, etwa mit „| lp -n 2“, oder nimm --print.",
      "The page would land on the screen as gibberish. Nothing was founded. Pass it on, such as by “| lp -n 2”, or take --print."),
    t("invalid.*.other_hub",
      "Dort antwortet ein anderer, als erwartet: der Schlüssel passt nicht. Es ist nichts übertragen worden. Prüfe Adresse und Schlüssel mit dem, der den Kasten betreibt.",
      "Someone else than expected answers there: the key doesn't fit. Nothing was sent. Check address and key with whoever runs the box."),
    t("invalid.hub_key.uncertified",
      "Ein neuer Hub antwortet, den das Büro noch nicht bestätigt hat. Alles ist auf diesem Gerät gesichert, und nichts ist verändert. Im Büro bestätigt ihn „kolonne hub-certify“; danach geht es hier weiter.",
      "A new hub answers that the office hasn't confirmed yet. Everything is saved on this device, and nothing was changed. In the office “kolonne hub-certify” confirms it; then it goes on here."),
    t("invalid.hub_key.same",
      "Das ist schon der Hub des Betriebs. Es ist nichts verändert. Ist ein anderer gemeint, nenne zuerst mit „kolonne hub-address“, wo er ist.",
      "This is the company's hub already. Nothing was changed. If you mean another one, first say with “kolonne hub-address” where it is."),
    t("invalid.hub_url.full",
      "Dieser Hub nimmt keinen weiteren Betrieb auf. Es ist nichts verändert. Wer ihn betreibt, kann mehr erlauben (--companies).",
      "This hub takes no further company. Nothing was changed. Whoever runs it can allow more (--companies)."),
    t("invalid.hub_url",
      "Diese Adresse lässt sich nicht verwenden. Es ist nichts verändert. Sie beginnt mit https://, oder mit http:// auf diesem Computer.",
      "This address can't be used. Nothing was changed. It begins with https://, or with http:// on this computer."),

    // Of the program itself
    t("usage",
      "So lässt sich das nicht aufrufen. Es ist nichts verändert. „kolonne --help“ zeigt, wie.",
      "It can't be called like that. Nothing was changed. “kolonne --help” shows how."),
    t("file_missing",
      "Diese Datei gibt es nicht. Es ist nichts verschickt worden. Prüfe den Namen und den Ordner.",
      "There is no such file. Nothing was sent. Check the name and the folder."),
    t("file_unreadable",
      "Diese Datei lässt sich nicht lesen. Es ist nichts verschickt worden. Prüfe, ob sie wirklich eine Datei ist und ob du sie öffnen darfst.",
      "This file can't be read. Nothing was sent. Check whether it really is a file and whether you may open it."),
    t("ambiguous",
      "Das passt auf mehrere. Es ist nichts verändert. Nenne einen längeren Teil des Namens oder die Kennung.",
      "That fits several. Nothing was changed. Name a longer part or the id."),
    t("who",
      "Auf diesem Gerät schreiben mehrere Leute. Es ist nichts verändert. Sag mit --as, wer es tut.",
      "Several people write on this device. Nothing was changed. Say with --as who does it."),
    t("hub_key_unread",
      "Dieser Schlüssel hat einen Tippfehler. Es ist nichts verändert. Vergleiche ihn Gruppe für Gruppe mit dem, was „kolonne hub“ zeigt.",
      "This key has a typo. Nothing was changed. Compare it group by group with what “kolonne hub” shows."),
    t("hub_key_unasked",
      "Den Schlüssel muss ein Mensch vergleichen, und hier ist niemand zu fragen. Es ist nichts verändert. Nenne ihn mit --hub-key oder rufe es in einem Terminal auf.",
      "A person has to compare the key, and there is nobody to ask here. Nothing was changed. Name it with --hub-key or call this in a terminal."),
    t("hub_key_denied",
      "Der Schlüssel wurde nicht bestätigt. Es ist nichts verändert. Vergleiche ihn mit dem, was „kolonne hub“ zeigt.",
      "The key wasn't confirmed. Nothing was changed. Compare it with what “kolonne hub” shows."),
    t("words_unasked",
      "Die vier Wörter muss ein Mensch vergleichen, und hier ist niemand zu fragen. Das Gerät ist nicht aufgenommen. Rufe es in einem Terminal auf.",
      "A person has to compare the four words, and there is nobody to ask here. The device isn't admitted. Call this in a terminal."),
    t("words_denied",
      "Die Wörter wurden nicht bestätigt. Das Gerät ist nicht aufgenommen. Beginne mit einem neuen Code.",
      "The words weren't confirmed. The device isn't admitted. Begin with a new code."),
    t("words_early",
      "Das Handy hat noch nicht geantwortet, es gibt noch keine Wörter zu vergleichen. Es ist nichts geschehen. Warte, bis auf beiden Bildschirmen vier Wörter stehen.",
      "The phone hasn't answered yet, there are no words to compare. Nothing happened. Wait until both screens show four words."),
    t("invite_expired",
      "Der Aufnahmecode ist abgelaufen. Es ist niemand aufgenommen. Zeige einen neuen.",
      "The admission code has expired. Nobody was admitted. Show a new one."),
    t("founded_already",
      "In diesem Ordner ist schon ein Gerät. Es ist unberührt. Nimm für den neuen Betrieb einen anderen Ordner.",
      "This folder already holds a device. It is untouched. Take another folder for the new company."),
    t("trust_unread",
      "Die Datei mit dem Zertifikat lässt sich nicht lesen. Es ist nichts verändert. Prüfe den Namen; sie muss im PEM-Format sein.",
      "The file with the certificate can't be read. Nothing was changed. Check the name; it must be in PEM form."),
    t("port_taken",
      "An dieser Adresse kann das Programm nicht lauschen; meist läuft dort schon etwas. Es ist nichts verloren. Beende das andere Programm oder nimm eine andere Adresse.",
      "The program can't listen at this address; mostly something runs there already. Nothing is lost. End the other program or take another address."),
    t("not_loopback",
      "Die Seite wird nur auf diesem Computer gezeigt. Es ist nichts geöffnet worden. Nimm eine Adresse wie 127.0.0.1:0.",
      "The page is shown on this computer only. Nothing was opened. Take an address like 127.0.0.1:0."),
    t("hub_start",
      "So kann der Hub nicht anfangen. Seine Daten sind unberührt. Der Grund steht darunter.",
      "The hub can't start like that. Its data is untouched. The reason is below."),
    t("hub_in_use",
      "In diesem Ordner läuft schon ein Hub. Seine Daten sind unberührt. Beende den anderen oder nimm einen anderen Ordner.",
      "A hub runs on this folder already. Its data is untouched. End the other one or take another folder."),
    t("hub_plain",
      "Ohne Zertifikat lauscht der Hub nur auf diesem Computer. Es ist nichts geöffnet worden. Gib --tls-cert und --tls-key an, oder lausche auf 127.0.0.1.",
      "Without a certificate the hub listens on this computer only. Nothing was opened. Give --tls-cert and --tls-key, or listen on 127.0.0.1."),
    t("demo_in_use",
      "Die Vorführung läuft schon in diesem Ordner. Sie ist unberührt. Beende die andere, oder nimm mit --dir einen anderen Ordner.",
      "The demo runs in this folder already. It is untouched. End the other one, or take another folder with --dir."),
    t("demo_foreign",
      "In diesem Ordner liegt etwas, das nicht von der Vorführung ist. Es ist unberührt. Nimm mit --dir einen leeren Ordner.",
      "This folder holds something that isn't the demo's. It is untouched. Take an empty folder with --dir."),
    t("demo_words",
      "Die Wörter auf den beiden Geräten der Vorführung sind verschieden. Es ist nichts aufgenommen. Beginne mit --reset neu.",
      "The words on the demo's two devices differ. Nothing was admitted. Begin anew with --reset."),
    t("token",
      "Diese Seite gehört nicht zum laufenden Programm. Es ist nichts verändert. Öffne die Adresse, die das Programm beim Start gezeigt hat.",
      "This page doesn't belong to the running program. Nothing was changed. Open the address that the program showed at its start."),
    t("origin",
      "Die Anfrage kam von woanders als von dieser Seite. Es ist nichts verändert. Öffne die Adresse, die das Programm beim Start gezeigt hat.",
      "The request came from elsewhere than this page. Nothing was changed. Open the address that the program showed at its start."),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_text_is_there_once_in_both_languages() {
        let mut seen = HashSet::new();
        for text in TEXTS {
            assert!(seen.insert(text.code), "{} twice", text.code);
            for said in [text.de, text.en] {
                assert!(said.len() > 40, "{} is too short", text.code);
                let sentences = said.matches(['.', ';', '?']).count();
                assert!(
                    sentences >= 3,
                    "{}: what happened, what is safe, what to do",
                    text.code
                );
                assert!(!said.contains("  "), "{}", text.code);
            }
            assert_ne!(text.de, text.en, "{}", text.code);
        }
    }

    #[test]
    fn german_avoids_technicians_words() {
        for text in TEXTS {
            for word in ["Server", "Upload", "synchronis", "ungültig", "Fehler"] {
                assert!(!text.de.contains(word), "{} says {word}", text.code);
            }
        }
    }

    #[test]
    fn unknown_codes_fall_back_to_their_family() {
        assert_eq!(text("invalid.title.empty").code, "invalid.title.empty");
        assert_eq!(
            text("invalid.customer.too_large").code,
            "invalid.*.too_large"
        );
        assert_eq!(text("invalid.file.media_mismatch").code, "invalid.file");
        assert_eq!(text("not_found.waiting").code, "not_found");
        assert_eq!(text("internal.store").code, "internal");
        assert_eq!(text("never heard of").code, "internal");
    }
}

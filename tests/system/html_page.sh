#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The flame graph page in a real browser: html_page.sh FIXTURE. What it shows is read from its <output id="state">.
fixture=$1
for browser in chromium chromium-browser google-chrome ''; do
	command -v "${browser:-none}" >/dev/null && break
done
if [ -z "$browser" ]; then
	echo "SKIPPED: no chromium, the flame graph page was not looked at"
	exit 77
fi
where=$(mktemp -d)
trap 'rm -rf "$where"' EXIT
failed=0

# state PAGE FRAGMENT: what the page says about itself, as one line of JSON. A browser on a loaded machine now and
# then prints nothing at all; only that is tried again.
state()
{
	for try in 1 2 3; do
		dir=$(mktemp -d "$where/XXXXXX")
		timeout 60 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
			--disable-background-networking --disable-component-update --disable-sync --user-data-dir="$dir" \
			--window-size=1400,900 --virtual-time-budget=2000 --dump-dom "file://$where/$1.html$2" >"$where/dom" 2>"$where/log"
		[ -s "$where/dom" ] && break
	done
	sed -n 's/.*<output id="state" hidden="">\([^<]*\)<.*/\1/p' "$where/dom" |
		sed 's/&lt;/</g; s/&gt;/>/g; s/&quot;/"/g; s/&nbsp;/ /g; s/&amp;/\&/g' >"$where/state"
}

# shows CLAIM TEXT...: each text stands in the state.
shows()
{
	claim=$1
	shift
	for text; do
		if grep -qF -- "$text" "$where/state"; then
			continue
		fi
		failed=1
		echo "FAILED: $claim: $text not in"
		cut -c1-3000 "$where/state"
		return
	done
	echo "ok: $claim"
}

for page in plain compare hostile large empty; do
	"$fixture" $page >"$where/$page.html" || exit 1
done

state plain ''
shows 'the whole is the sum of the samples' '"total":1000000000,' '"nodes":14,' '"drawn":14,' '"rows":5,' '"zoom":"all"'
shows 'the hottest functions lead, recursion counts once' '"top":[["square",360000000,360000000,0,0],["lex",300000000,300000000,0,0],["fib",120000000,120000000,0,0],["parse",100000000,400000000,0,0]'
shows 'an address without a name is object and offset' '["libz.so.1+0x1234",30000000,30000000,0,0]'
shows 'losses are there' '"losses":[["ring_full",' ',5,50000000]]'
state plain '#search=%5E(lex%7Cparse)%24'
shows 'a match under a match counts once' '"matched":400000000,"matchedShare":0.4,'
state plain '#search=fib&zoom=main'
shows 'the matched share is of the zoomed frame' '"zoom":"main"' '"zoomTotal":600000000' '"matchedShare":0.2,'
state plain '#search=obj:kernel'
shows 'objects can be searched' '"matched":80000000,'
state plain '#search=lex(&invert=1'
shows 'what is no expression is searched as text' '"isLiteral":true' '"matched":0,' '"invert":true'
state plain '#thread=worker'
shows 'a thread name filters' '"total":400000000,' '"whole":1000000000,' '"thread":"worker"'
state plain '#tid=102&zoom=compute'
shows 'a thread id filters' '"total":150000000,' '"zoomTotal":110000000,' '"tid":"102"'
state plain '#thread=nobody&zoom=999&tab=top'
shows 'an address that fits no more shows everything' '"total":1000000000,' '"zoom":"all"' '"tab":"top"'

state compare ''
shows 'both sides are summed' '"total":1000000000,"baseTotal":500000000,' '"colours":"difference"'
shows 'the largest change of a share leads' '"top":[["gone",0,0,200000000,200000000],["lex",300000000,300000000,0,0]'
shows 'the strongest colour is the largest change drawn' '"mostChange":0.3,'
state compare '#thread=worker'
shows 'a thread name filters both sides' '"total":400000000,"baseTotal":200000000,'
state compare '#colours=object'
shows 'colours can be those of objects' '"colours":"object"'

state hostile ''
shows 'no name breaks out of the page' "\"title\":\"</title><script>document.title='broken'</script>\\\"&'\"" '"nodes":5,'
shows 'names stay what they are' '"</script><img src=x onerror=alert(1)>"' '"a\"b'"'"'c\\d\n\te<!--<script>"' \
	"\"x$(printf '\342\200\250')y$(printf '\342\200\251')z $(printf '\342\200\256')rtl "
state hostile '#search=%3C/script%3E'
shows 'a hostile name can be searched' '"matched":100000000,'
state hostile '#zoom=%3C/script%3E%3Cimg%20src=x%20onerror=alert(1)%3E'
shows 'and zoomed by an address' '"zoomTotal":100000000,'
state hostile '#zoom=%&search=%E2%28&thread=%3Cb%3E&sort=__proto__&invert=2&tab='
shows 'a hostile address is harmless' '"total":1000000000,' '"zoom":"all"'
if grep -qi '<img\|onerror="' "$where/dom"; then
	failed=1
	echo 'FAILED: a name became an element'
fi

state large ''
shows 'of 111111 nodes only what can be seen is drawn' '"nodes":111111,' '"drawn":1111,'
state large '#search=level0_function3&thread=thread3'
shows 'and they filter and match' '"total":50003000000,' '"matched":10000000000,'
state empty ''
shows 'a profile without samples is a page too' '"total":0,' '"nodes":1,'

# The mouse and the keys: events from a script at the end of the page.
with_events()
{
	{
		cat "$where/plain.html"
		echo "<script>const key = (k, to) => (to || document).dispatchEvent(new KeyboardEvent('keydown', { key: k, bubbles: true }));
const canvas = document.getElementById('canvas'), search = document.getElementById('search');
const at = (x, y) => ({ clientX: canvas.getBoundingClientRect().left + x, clientY: canvas.getBoundingClientRect().top + y, bubbles: true });
$1</script>"
	} >"$where/events.html"
	state events "$2"
}
with_events "canvas.dispatchEvent(new MouseEvent('click', at(20, 54)));"
shows 'a click zooms' '"zoom":"parse"' '"address":"zoom='
with_events "key('u');" '#zoom=lex'
shows 'u zooms out by one' '"zoom":"parse"'
with_events "key('ArrowDown'); key('ArrowRight'); key('Enter');"
shows 'arrows walk and Enter zooms' '"zoom":"run"'
with_events "key('i'); key('t');"
shows 'i turns the graph over, t changes the tab' '"invert":true' '"tab":"top"'
with_events "key('Escape');" '#search=lex&zoom=parse'
shows 'Escape clears the search first' '"search":""' '"zoom":"parse"'
with_events "key('Escape'); key('Escape');" '#search=lex&zoom=parse&thread=main'
shows 'then everything' '"search":""' '"zoom":"all"' '"thread":""' '"address":""'
with_events "search.value = 'i'; search.dispatchEvent(new Event('input')); key('i', search);"
shows 'keys typed into the search stay there' '"search":"i"' '"invert":false'
with_events "canvas.dispatchEvent(new MouseEvent('mousemove', at(20, 76)));"
if grep -q '<b>lex</b>' "$where/dom" && grep -q '/src/mill/mill.c:40' "$where/dom" &&
	grep -q '300[^0-9<]*ms</td><td>30.0[^0-9<]*% of all' "$where/dom"; then
	echo 'ok: the tip says what a frame is and cost'
else
	failed=1
	echo 'FAILED: the tip says what a frame is and cost'
	grep -o 'id="tip".*' "$where/dom" | cut -c1-800
fi
exit $failed

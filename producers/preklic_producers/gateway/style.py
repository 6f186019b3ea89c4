"""How the public pages look: one style sheet, inside each page, allowed by its hash (Content-Security-Policy level 3).

Light and dark by the reader's own choice, readable from 320 pixels on, buttons of at least 44 pixels (WCAG 2.2, 2.5.8).
No fonts, no images: nothing is loaded from anywhere.
"""

import base64
import hashlib
from typing import Final

_RULES: Final = """
:root{color-scheme:light dark;--ink:#1d2328;--soft:#535d66;--ground:#f3f4f0;--card:#fff;--line:#d3d7d0;--brand:#0b5c4d;
--on:#fff;--no:#a32a1c;--focus:#0a58ca;--yes:#e2f0eb}
@media (prefers-color-scheme:dark){:root{--ink:#e9ecee;--soft:#a9b3bb;--ground:#14181b;--card:#1e2428;--line:#3a434a;
--brand:#6fd0b8;--on:#08251f;--no:#ff9d8f;--focus:#8ab8ff;--yes:#16352e}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans",sans-serif;overflow-wrap:anywhere}
.wide{max-width:40rem;margin-inline:auto;padding-inline:1rem}
.top{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:center;gap:.25rem 1rem;min-height:3.5rem;
border-bottom:1px solid var(--line)}
.top p{margin:0;font-weight:650;letter-spacing:.01em}
.top a,.foot a,.plain{display:inline-block;padding:.65rem 0;min-height:2.75rem}
main{padding-block:1.5rem}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .75rem;letter-spacing:-.01em}
h2{font-size:1.25rem;line-height:1.3;margin:2rem 0 .5rem}
h3{font-size:1.0625rem;line-height:1.35;margin:0}
p{margin:.5rem 0}
ul{list-style:none;margin:0;padding:0}
small,.soft{color:var(--soft);font-size:.9375rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.125rem;margin:.75rem 0}
.card .card{background:transparent;margin:.875rem 0 0;border-style:dashed}
.state{display:inline-block;margin:0;padding:.125rem .625rem;border-radius:1rem;font-size:.9375rem;
border:1px solid var(--line)}
.state.on{background:var(--yes);border-color:transparent}
.state strong{font-weight:650}
.card>:first-child{margin-top:0}
.card>:last-child{margin-bottom:0}
.act{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:.625rem;margin-top:.75rem}
.act button{margin:0}
form{margin:0}
button{display:block;width:100%;min-height:3rem;margin:.625rem 0 0;padding:.625rem 1.25rem;font:inherit;font-weight:600;
border:2px solid var(--brand);border-radius:.5rem;background:transparent;color:var(--brand);cursor:pointer}
button.main{background:var(--brand);color:var(--on)}
button.no{border-color:var(--no);color:var(--no)}
button.no.main{background:var(--no);border-color:var(--no);color:#fff}
button:hover{text-decoration:underline;text-underline-offset:.2em}
a{color:var(--brand);text-underline-offset:.2em}
a:focus-visible,button:focus-visible{outline:3px solid var(--focus);outline-offset:3px;border-radius:.375rem}
code{font:.875rem/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
dl{margin:.75rem 0 0}
dt{color:var(--soft);font-size:.9375rem;margin-top:.625rem}
dd{margin:0}
blockquote{margin:.5rem 0;padding-left:.875rem;border-left:.25rem solid var(--brand)}
nav ul a{display:inline-block;padding:.625rem 0;min-height:2.75rem}
.foot{border-top:1px solid var(--line);padding-bottom:1.5rem}
@media (min-width:34rem){nav ul{columns:2}button{display:inline-block;width:auto;min-width:11rem}h1{font-size:2rem}}
@media (prefers-color-scheme:dark){button.no.main{color:#2b0905}}
@media (forced-colors:active){.card,.state{border-color:CanvasText}}
@media print{body{background:none}form,nav{display:none}}
"""
STYLE: Final = _RULES.replace("\n", "")
STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

// Reads the page's data: JSON, compressed with gzip and written in base64.
"use strict";
async function readData() {
  const text = atob(document.getElementById("data").textContent);
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The words of a search box; all of them must be found.
function wordsOf(input) {
  return input.value.toLowerCase().split(/\s+/).filter(Boolean);
}


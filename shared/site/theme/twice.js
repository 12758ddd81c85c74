// Formulas and diagrams. Each library comes from this site, and only on a page that has something for it to draw.
const assets = new URL(".", document.currentScript.src);

function load(element) {
  return new Promise((resolve, reject) => {
    element.onload = resolve;
    element.onerror = () => reject(new Error(`cannot load ${element.src || element.href}`));
    document.head.append(element);
  });
}

const script = (file) => Object.assign(document.createElement("script"), { src: new URL(file, assets) });
const style = (file) =>
  Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL(file, assets) });

async function drawFormulas() {
  const formulas = document.querySelectorAll(".arithmatex"); // \(…\) in a line, \[…\] on its own
  if (formulas.length === 0) return;
  await Promise.all([load(style("katex/katex.min.css")), load(script("katex/katex.min.js"))]);
  for (const formula of formulas) {
    const source = formula.textContent.trim();
    const options = { displayMode: source.startsWith("\\["), fleqn: true, throwOnError: false };
    katex.render(source.slice(2, -2), formula, options);
    if (source.length < 40) keepWithMark(formula);
  }
}

// A line may not end between a short formula and the comma after it.
function keepWithMark(formula) {
  const mark = formula.nextSibling instanceof Text && formula.nextSibling.data.match(/^[,.;:!?)]+/);
  if (!mark) return;
  formula.nextSibling.deleteData(0, mark[0].length);
  formula.append(mark[0]);
  formula.style.whiteSpace = "nowrap";
}

async function drawDiagrams() {
  const sources = new Map();
  for (const block of document.querySelectorAll("pre.diagram")) sources.set(block, block.textContent);
  if (sources.size === 0) return;
  await load(script("mermaid/mermaid.tiny.js"));

  async function draw() {
    const page = getComputedStyle(document.body);
    const colour = (name) => page.getPropertyValue(name).trim();
    mermaid.initialize({
      startOnLoad: false,
      suppressErrorRendering: true,
      look: "classic",
      theme: "base",
      flowchart: { wrappingWidth: 260 },
      themeVariables: {
        darkMode: document.body.dataset.mdColorScheme === "slate",
        background: colour("--twice-paper"),
        primaryColor: colour("--twice-node"),
        primaryBorderColor: colour("--twice-use"),
        primaryTextColor: colour("--twice-ink"),
        edgeLabelBackground: colour("--twice-paper"),
        lineColor: colour("--twice-line"),
        textColor: colour("--twice-ink"),
        fontFamily: page.fontFamily,
        fontSize: "15px",
        useGradient: false,
        dropShadow: "none",
      },
    });
    for (const [number, [block, source]] of [...sources].entries()) {
      try {
        block.innerHTML = (await mermaid.render(`diagram-${number}`, source)).svg;
        const svg = block.firstElementChild; // on a phone it scrolls rather than shrink out of sight
        svg.style.minWidth = `min(${0.7 * svg.viewBox.baseVal.width}px, 42rem)`;
      } catch (error) {
        reportError(error); // its source stays readable, and the others are drawn
      }
    }
  }

  await draw();
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-md-color-scheme"] });
}

// A link to a folded part (a source file) unfolds it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

drawFormulas();
drawDiagrams();
unfold();
addEventListener("hashchange", unfold);

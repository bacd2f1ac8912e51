import { render } from "preact";
import "uplot/dist/uPlot.min.css";

import { App } from "./app";
import { applyTheme } from "./parts/theme";
import "./style/base.css";
import "./style/frame.css";
import "./style/panels.css";
import "./style/signin.css";

applyTheme();
render(<App />, document.getElementById("page") as HTMLElement);

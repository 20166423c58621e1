const headers = new Headers();
myHeaders.append("x-api-key", "<replace me>");

const raw = JSON.stringify({
  "to": "<replace me>",
  "type": "telegram",
  "send": true
});

const requestOptions: RequestInit = {
  method: "POST",
  headers,
  body: raw,
  redirect: "follow"
};

fetch("https://api.kod.mobi/session/create", requestOptions)
  .then((response) => response.json())
  .then((result) => console.log(result))
  .catch((error) => console.error(error));

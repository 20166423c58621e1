package main

import (
  "fmt"
  "strings"
  "net/http"
  "io"
)

func main() {
  payload := strings.NewReader(`{
    "session_id": "<replace me>",
    "type": "telegram"
  }`)

  client := &http.Client {}
  req, err := http.NewRequest("POST", "https://api.kod.mobi/session/send", payload)

  if err != nil {
    fmt.Println(err)
    return
  }
  req.Header.Add("x-api-key", "<replace me>")

  res, err := client.Do(req)
  if err != nil {
    fmt.Println(err)
    return
  }
  defer res.Body.Close()

  body, err := io.ReadAll(res.Body)
  if err != nil {
    fmt.Println(err)
    return
  }
  fmt.Println(string(body))
}
